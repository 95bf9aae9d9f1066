/**
 * Two-level tiling: any tile and any micro-tile that `planTiles()` gives is a
 * tile of the forward kernel, and none changes a result beyond the bound.
 */

import { assertEquals } from "@std/assert";
import { attention } from "../../src/ops/mod.ts";
import { planTiles } from "../../src/planning/mod.ts";
import {
  attention as oracle,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest } from "../support/gpu.ts";

const SIZES = {
  batch: 1,
  queries: 45,
  keys: 70,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 16,
} as const;

/** Fast memory and registers that give different tiles. */
const LIMITS = [
  { workgroupBytes: 4096, invocations: 8 },
  { workgroupBytes: 16384, invocations: 16, registersPerLane: 24 },
  { workgroupBytes: 8192, invocations: 8, registersPerLane: 32 },
] as const;

gpuTest(
  "planTiles() gives micro-tiles that change no result",
  async (_, gpu) => {
    const random = new Prng(7);
    const { queries, keys, queryHeads, kvHeads, headDim } = SIZES;
    const tensor = (rows: number, heads: number) => ({
      shape: [1, rows, heads, headDim],
      data: Float32Array.from(
        { length: rows * heads * headDim },
        () => random.normal(),
      ),
    });
    const query = tensor(queries, queryHeads);
    const [key, value] = [tensor(keys, kvHeads), tensor(keys, kvHeads)];
    const problem = {
      query: query.data,
      key: key.data,
      value: value.data,
      batch: 1,
      queryLength: queries,
      keyLength: keys,
      queryHeads,
      kvHeads,
      headDim,
    };
    const expected = oracle(problem);
    const seen = new Set<string>();
    for (const limits of LIMITS) {
      const { microTile } = planTiles(SIZES, {
        ...limits,
        schedules: ["fa2"],
      });
      seen.add(JSON.stringify(microTile));
      const { output } = await attention(gpu, {
        query,
        key,
        value,
        tiles: { forward: microTile },
      });
      const bound = errorBound(problem, {
        keys: microTile.keys,
        gate: GATES.wgsl,
      });
      const found = compareWithBound({
        actual: output.data as Float32Array,
        expected: expected.output,
        bound: bound.output,
      });
      assertEquals(found.ok, true, JSON.stringify({ microTile, found }));
    }
    assertEquals(seen.size, LIMITS.length, [...seen].join(" "));
  },
);

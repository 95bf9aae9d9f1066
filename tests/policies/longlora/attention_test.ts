import { assert, assertEquals } from "@std/assert";
import {
  attention as oracle,
  attentionBackward as gradientOracle,
  errorBound,
  GATES,
  GRADIENT_GATES,
  gradientBound,
} from "../../../reference/mod.ts";
import { longlora, type LongLoraOptions } from "../../../src/policies/mod.ts";
import { planAttention } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { forwardBackward, normals } from "../../support/gradients.ts";
import { meaningOf } from "./groups.ts";

const HEADS = { queryHeads: 4, headDim: 16 } as const;
const GRADIENTS = ["query", "key", "value"] as const;

/** A batch of sequences of one length, and what a loss sends back. */
function inputs(batch: number, tokens: number, kvHeads: number) {
  const of = (heads: number, seed: number) =>
    normals([batch, tokens, heads, HEADS.headDim], seed);
  return {
    query: of(HEADS.queryHeads, 1),
    key: of(kvHeads, 2),
    value: of(kvHeads, 3),
    outputGradient: of(HEADS.queryHeads, 4),
  };
}

const CASES: {
  readonly tokens: number;
  readonly options: LongLoraOptions;
  readonly kvHeads?: number;
}[] = [
  { tokens: 48, options: { groupSize: 16 } },
  { tokens: 48, options: { groupSize: 16, variant: "wrap" } },
  // Not in whole tiles, and the last group is short.
  { tokens: 50, options: { groupSize: 13 } },
  // Both halves of the heads in one tile of rows.
  { tokens: 48, options: { groupSize: 16, variant: "wrap" }, kvHeads: 1 },
];

gpuTest(
  "attention() under longlora() is the oracle's, forward and backward",
  async (_, gpu) => {
    for (const { tokens, options, kvHeads = 2 } of CASES) {
      const batch = 1;
      const { outputGradient, ...given } = inputs(batch, tokens, kvHeads);
      const result = await forwardBackward(
        gpu,
        { ...given, select: longlora(options) },
        { outputGradient },
      );
      const problem = {
        query: given.query.data as Float32Array,
        key: given.key.data as Float32Array,
        value: given.value.data as Float32Array,
        batch,
        queryLength: tokens,
        keyLength: tokens,
        ...HEADS,
        kvHeads,
        mask: meaningOf({
          heads: HEADS.queryHeads,
          lengths: Array(batch).fill(tokens),
          groupSizes: Array(batch).fill(options.groupSize!),
          variant: options.variant ?? "flash",
        }),
      };
      const near = (
        actual: ArrayLike<number>,
        expected: ArrayLike<number>,
        bound: number,
        what: string,
      ) => {
        for (let i = 0; i < expected.length; i++) {
          const off = Math.abs(actual[i] - expected[i]);
          assert(off <= bound, `${what} at ${i} is off by ${off} of ${bound}`);
        }
      };
      const expected = oracle(problem);
      const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
      near(result.output.data, expected.output, bound.output, "output");
      near(result.lse.data, expected.lse, bound.lse, "log-sum-exp");
      const backward = {
        ...problem,
        scoreDerivative: () => 1,
        outputGradient: outputGradient.data as Float32Array,
      };
      const exact = gradientOracle(backward);
      const off = gradientBound(backward, {
        rows: 8,
        keys: 8,
        gate: GRADIENT_GATES.wgsl,
      });
      for (const name of GRADIENTS) {
        const gradient = `${name}Gradient` as const;
        near(result[name].data, exact[gradient], off[gradient], gradient);
      }
    }
  },
);

gpuTest("plans under longlora() visit its groups' tiles", async (_, gpu) => {
  const tokens = 1024;
  const rows = (heads: number) =>
    ({ dtype: "f32", shape: [1, tokens, heads, 16] }) as const;
  const options = {
    query: rows(2),
    key: rows(2),
    value: rows(2),
    select: longlora({ groupSize: 256 }),
  };
  using plan = await planAttention(gpu, options);
  const { tileCounts, dispatches: [{ tile }] } = plan.explain();
  const [long, wide] = [256 / tile!.rows, 256 / tile!.keys];
  assert(Number.isInteger(long / 2) && Number.isInteger(wide / 2));
  // Tiles at or below the diagonal of so many rows and keys.
  const below = (tokens: number) => {
    let count = 0;
    for (let row = tile!.rows; row <= tokens; row += tile!.rows) {
      count += Math.ceil(row / tile!.keys);
    }
    return count;
  };
  assertEquals(tileCounts.visited, (4 + 3) * below(256) + 2 * below(128));
  assertEquals(tileCounts.total, 2 * 16 * long * wide);
});

gpuTest(
  "tiles of both halves of the heads are those of either",
  async (_, gpu) => {
    const [tokens, groupSize] = [512, 128];
    const rows = (heads: number) =>
      ({ dtype: "f32", shape: [1, tokens, heads, 16] }) as const;
    using plan = await planAttention(gpu, {
      query: rows(2),
      key: rows(1),
      value: rows(1),
      select: longlora({ groupSize }),
    });
    const { tileCounts, dispatches: [{ tile }] } = plan.explain();
    const queries = tile!.rows / 2;
    assert(Number.isInteger(queries) && tokens % queries === 0);
    const sees = meaningOf({
      heads: 2,
      lengths: [tokens],
      groupSizes: [groupSize],
      variant: "flash",
    });
    const visited = new Set<string>();
    for (let at = 0; at < 2 * tokens * tokens; at++) {
      const [query, key] = [Math.floor(at / 2 / tokens), (at >> 1) % tokens];
      if (!sees(0, at % 2, query, key)) continue;
      visited.add(
        `${Math.floor(query / queries)},${Math.floor(key / tile!.keys)}`,
      );
    }
    assertEquals(tileCounts.visited, visited.size);
  },
);

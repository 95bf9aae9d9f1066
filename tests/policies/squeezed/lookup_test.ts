/** Looking clusters up on the device, against float64. */

import { assert, assertEquals } from "@std/assert";
import {
  squeezedLookup,
  type SqueezedLookupProblem,
} from "../../../reference/mod.ts";
import { bitWords } from "../../../kernels/fragments/selection.ts";
import { centroidMeansKernel } from "../../../kernels/mod.ts";
import { type Gpu, type GpuTensor, Program } from "../../../src/gpu/mod.ts";
import {
  clusterSizes,
  type SqueezedClusters,
} from "../../../src/policies/mod.ts";
import type { LookupProblem } from "../../../src/policies/squeezed/lookup.ts";
import { SqueezedLookup } from "../../../src/policies/squeezed/squeezed_lookup.ts";
import { gpuTest } from "../../support/gpu.ts";
import { hostOf } from "../../support/attention/storage.ts";
import {
  clustersOn,
  type ContextCase,
  contextOf,
  lookupOf,
  PLAIN,
} from "./contexts.ts";

interface Run {
  readonly c: ContextCase;
  readonly fraction: number;
}

/** Looks all of some cases up: one submit, one read. */
async function runLookups(gpu: Gpu, runs: readonly Run[]) {
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  try {
    const recorded: {
      readonly c: ContextCase;
      readonly lookup: SqueezedLookup;
      readonly query: GpuTensor;
      readonly clusters: SqueezedClusters;
      readonly bits: GpuTensor;
      readonly expected: SqueezedLookupProblem;
    }[] = [];
    for (const { c, fraction } of runs) {
      const context = contextOf(c);
      const expected = lookupOf(c, context, fraction);
      const clusters = clustersOn(gpu, c, context, keep);
      const keys = c.context + c.rest;
      const problem: LookupProblem = {
        dtype: c.dtype,
        queries: c.queries,
        queryHeads: c.queryHeads,
        sizes: clusterSizes(gpu, clusters),
        scale: 1 / Math.sqrt(c.headDim),
        threshold: expected.threshold,
        coarseThreshold: expected.coarse?.threshold ?? 0,
        keys,
        gather: false,
      };
      const lookup = keep(await SqueezedLookup.create(gpu, problem));
      const shape = [c.queries, c.queryHeads, c.headDim];
      const query = keep(gpu.tensor(hostOf(c.dtype, context.query), shape));
      const words = c.kvHeads * bitWords(keys);
      const bits = keep(
        gpu.tensor(new Uint32Array(words).fill(0xaaaaaaaa), [words]),
      );
      recorded.push({ c, lookup, query, clusters, bits, expected });
    }
    gpu.submit("lookups", (encoder) => {
      for (const { lookup, ...of } of recorded) lookup.encode(encoder, of);
    });
    const tensors = recorded.flatMap(({ lookup, bits }): GpuTensor[] => [
      bits,
      lookup.means,
      lookup.coarseMeans ?? lookup.means,
    ]);
    const arrays = await gpu.read(tensors);
    return recorded.map(({ c, expected }, i) => ({
      c,
      expected,
      kept: keptOf(c, arrays[3 * i] as Uint32Array),
      means: arrays[3 * i + 1] as Float32Array,
      coarseMeans: arrays[3 * i + 2] as Float32Array,
    }));
  } finally {
    for (const one of owned) one.destroy();
  }
}

/** Bits as `[kvHeads, keys]`; none may be set past the last key. */
function keptOf({ kvHeads, context, rest }: ContextCase, bits: Uint32Array) {
  const words = bitWords(context + rest);
  return Array.from(
    { length: kvHeads },
    (_, head) =>
      Array.from(
        { length: 32 * words },
        (_, key) =>
          (bits[head * words + Math.floor(key / 32)] >>> (key % 32)) & 1,
      ),
  );
}

/** How far a mean may be from float64, as a part of it. */
function relativeBound(
  c: ContextCase,
  { query, level }: SqueezedLookupProblem,
): number {
  const longest = (rows: ArrayLike<number>) => {
    let most = 0;
    for (let row = 0; row < rows.length; row += c.headDim) {
      let sum = 0;
      for (let t = 0; t < c.headDim; t++) sum += rows[row + t] ** 2;
      // Those of clusters without keys are NaN.
      if (sum > most) most = sum;
    }
    return Math.sqrt(most);
  };
  const largest = longest(query) * longest(level.centroids) /
    Math.sqrt(c.headDim);
  // Scores and denominators, each by its roundings and those of exp and log.
  const unit = 2 ** -24;
  const rows = c.queries * c.queryHeads / c.kvHeads;
  return unit * (4 * (c.headDim + 8) * (1 + largest) + c.clusters + rows + 16);
}

const TWO = { ...PLAIN, coarse: 3, clusters: 11 };

const RUNS: readonly Run[] = [
  { c: PLAIN, fraction: 0.4 },
  { c: { ...PLAIN, seed: 2, queries: 1, rest: 1 }, fraction: 0.2 },
  // More than a tile of queries, and than a workgroup's lanes of clusters.
  { c: { ...PLAIN, seed: 3, queries: 13, clusters: 130 }, fraction: 0.5 },
  // More than one chunk of queries.
  { c: { ...PLAIN, seed: 4, queries: 300, clusters: 5 }, fraction: 0.4 },
  { c: { ...PLAIN, seed: 5, queryHeads: 3, kvHeads: 3 }, fraction: 0.9 },
  { c: TWO, fraction: 0.5 },
  {
    c: { ...TWO, seed: 6, clusters: 90, coarse: 70, context: 300 },
    fraction: 0.3,
  },
  { c: { ...TWO, seed: 7, queries: 20, coarse: 2 }, fraction: 0.7 },
  // More clusters above than below, most of them empty.
  { c: { ...TWO, seed: 10, clusters: 6, coarse: 40 }, fraction: 0.6 },
  { c: { ...PLAIN, seed: 8, headDim: 7 }, fraction: 0.4 },
];

gpuTest(
  "a cluster's mean is above 0 and at most 1, as of exact ones",
  async (_, gpu) => {
    // Of two chunks of rows, and 4 rows: what rounding may add up to.
    const sums = Float32Array.of(2, 1, 0, 7, 2 + 2 ** -21, 2, 0, 9);
    const owned = [
      gpu.tensor(sums, [2, 4]),
      gpu.tensor(Uint32Array.of(1, 1, 1, 0), [4]),
      gpu.empty("f32", [4]),
      await Program.create(gpu, "means", {
        dispatches: [{
          source: centroidMeansKernel({ listed: false }),
          uniforms: { all: 4, clusters: 4, chunks: 2, rows: 4 },
          grid: [1, 1, 1],
        }],
      }),
    ] as const;
    const [own, counts, means, program] = owned;
    gpu.submit(
      "means",
      (encoder) => program.encode(encoder, { sums: own, counts, means }),
    );
    const found = await gpu.readOne(means);
    for (const one of owned) one.destroy();
    assertEquals([...found], [1, 0.75, 2 ** -126, 0]);
  },
);

gpuTest("SqueezedLookup keeps the keys that float64 keeps", async (_, gpu) => {
  for (
    const { c, expected, kept, means, coarseMeans } of await runLookups(
      gpu,
      RUNS,
    )
  ) {
    const label = JSON.stringify(c);
    const reference = squeezedLookup(expected);
    const bound = relativeBound(c, expected);
    const near = (actual: Float32Array, wanted: Float64Array) =>
      wanted.forEach((mean, at) => {
        const error = Math.abs(actual[at] - mean);
        assert(
          error <= bound * mean,
          `${label}: mean ${at} is ${actual[at]}, not ${mean}`,
        );
        // So far from the threshold that there is no doubt.
        const { threshold } = expected;
        assert(
          wanted !== reference.means || mean === 0 ||
            Math.abs(mean / threshold - 1) > 2 * bound,
          `${label}: mean ${at} is too near the threshold`,
        );
      });
    near(means, reference.means);
    if (expected.coarse) near(coarseMeans, reference.coarseMeans);
    let some = 0;
    kept.forEach((row, head) => {
      const own = reference.kept.subarray(
        head * c.context,
        (head + 1) * c.context,
      );
      assertEquals(row.slice(0, c.context), [...own], label);
      // Keys behind the context are kept; past the last there are no bits.
      row.slice(c.context).forEach((bit, i) =>
        assertEquals(bit, i < c.rest ? 1 : 0, label)
      );
      for (const bit of own) some += bit;
    });
    assert(some > 0 && some < c.kvHeads * c.context, `${label}: ${some} kept`);
  }
});

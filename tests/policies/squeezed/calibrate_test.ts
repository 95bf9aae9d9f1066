/** Thresholds: quantiles of what queries give to keys, over layers and heads. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  clusterMeans,
  squeezedLookup,
} from "../../../reference/policies/squeezed.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import {
  calibrateSqueezed,
  type CalibrationOptions,
  SqueezedContext,
} from "../../../src/policies/mod.ts";
import { quantileOf } from "../../../src/policies/squeezed/quantile.ts";
import { gpuTest } from "../../support/gpu.ts";
import { property } from "../../support/property.ts";
import { plantedKeys } from "../../support/squeezed.ts";

property(
  "quantileOf() is the least score that a part of the keys does not exceed",
  [
    fc.array(fc.array(fc.tuple(fc.nat(6), fc.nat(4)), { maxLength: 6 }), {
      maxLength: 3,
    }),
    fc.nat(100),
  ],
  (layers, percent) => {
    const part = percent / 101;
    const scored = layers.map((layer) => ({
      scores: layer.map(([score]) => score / 6),
      counts: layer.map(([, count]) => count),
    }));
    const all = layers.flat().flatMap(([score, count]) =>
      new Array<number>(count).fill(score / 6)
    );
    const { quantile, below } = quantileOf(scored, part);
    const kept = (limit: number) => all.filter((score) => score > limit).length;
    const most = all.length * (1 - part) + 1e-9;
    assert(kept(quantile) <= most);
    assertEquals(
      below,
      all.length === 0 ? 0 : (all.length - kept(quantile)) / all.length,
    );
    const lower = all.filter((score) => score < quantile);
    if (quantile > 0) assert(kept(Math.max(0, ...lower)) > most);
  },
);

Deno.test("quantileOf() takes a part that is a whole number of keys for one", () => {
  // 0.55 * 100 is above 55 in floating point.
  const scored = [{ scores: [0.1, 0.2], counts: [55, 45] }];
  assertEquals(quantileOf(scored, 0.55), { quantile: 0.1, below: 0.55 });
});

const HEADS = 2;
const DIM = 8;
const KEYS = 96;

async function layers(gpu: Gpu, levels: 1 | 2) {
  const made = [];
  for (const seed of [1, 2]) {
    const data = plantedKeys({
      keys: KEYS,
      heads: HEADS,
      headDim: DIM,
      directions: 10,
      spread: 0.3,
      seed,
    });
    const random = new Prng(seed);
    const queries = 3 + seed;
    const clusters = await SqueezedContext.create(gpu, {
      key: { data, shape: [KEYS, HEADS, DIM] },
      clusters: 12,
      levels,
      ...(levels === 2 && { coarseClusters: 4 }),
      observationWindow: 6,
    });
    const query = {
      data: Float32Array.from(
        { length: queries * 2 * HEADS * DIM },
        () => 2 * random.normal(),
      ),
      shape: [queries, 2 * HEADS, DIM],
    };
    const { centroids, counts, labels, coarse } = clusters;
    const arrays = await gpu.read([
      centroids,
      counts,
      labels,
      ...(coarse ? [coarse.centroids, coarse.counts, coarse.labels] : []),
    ]);
    const level = (at: number, clusters: number) => ({
      clusters,
      centroids: arrays[at],
      counts: arrays[at + 1],
      labels: arrays[at + 2],
    });
    made.push({
      clusters,
      query,
      problem: {
        query: query.data,
        queries,
        queryHeads: 2 * HEADS,
        kvHeads: HEADS,
        headDim: DIM,
        level: level(0, 12),
      },
      coarse: coarse ? level(3, 4) : undefined,
    });
  }
  return made;
}

gpuTest(
  "a threshold drops the part of all layers' keys that is wanted",
  async (_, gpu) => {
    const made = await layers(gpu, 1);
    const given = (part: number, scale?: number): CalibrationOptions => ({
      contexts: made,
      sparsity: part,
      ...(scale !== undefined && { scale }),
    });
    let before = 0;
    for (const sparsity of [0, 0.3, 0.7, 0.9]) {
      const { threshold, dropped, ...rest } = await calibrateSqueezed(
        gpu,
        given(sparsity),
      );
      assertEquals(rest, {});
      let kept = 0;
      const scores: number[] = [];
      for (const { problem } of made) {
        // Half of what lies between two scores, as the device's round.
        const found = squeezedLookup({
          ...problem,
          threshold: threshold * (1 + 1e-5),
        });
        kept += found.kept.reduce((sum, bit) => sum + bit, 0);
        scores.push(...found.means);
      }
      const all = 2 * HEADS * (KEYS - 6);
      assertEquals(dropped, (all - kept) / all);
      assert(dropped >= sparsity, `${dropped} of ${sparsity}`);
      assert(threshold >= before, `${threshold} after ${before}`);
      // It is one of the scores of float64, but for rounding; or none.
      const error = Math.min(...scores.map((s) => Math.abs(s - threshold)));
      assert(sparsity === 0 ? threshold === 0 : error <= 1e-5 * threshold);
      before = threshold;
    }
    const warm = await calibrateSqueezed(gpu, given(0.5, 0.01));
    const means = made.flatMap(({ problem }) => {
      const { level: { counts } } = problem;
      const found = clusterMeans({ ...problem, scale: 0.01 });
      return [...found].flatMap((mean, i) => new Array(counts[i]).fill(mean));
    }).sort((a, b) => a - b);
    assert(Math.abs(warm.threshold / means[means.length / 2 - 1] - 1) < 1e-5);
    for (const { clusters } of made) clusters.destroy();
  },
);

gpuTest(
  "of two levels the upper is calibrated by itself, then the lower with it",
  async (_, gpu) => {
    const made = await layers(gpu, 2);
    for (
      const [sparsity, coarseSparsity] of [[0.8, 0.5], [0.8, undefined], [0, 0]]
    ) {
      const { threshold, coarseThreshold, dropped } = await calibrateSqueezed(
        gpu,
        {
          contexts: made,
          sparsity: sparsity!,
          ...(coarseSparsity !== undefined && { coarseSparsity }),
        },
      );
      if (coarseSparsity === undefined) {
        // Half of it, by default.
        assertEquals(
          await calibrateSqueezed(gpu, {
            contexts: made,
            sparsity: sparsity!,
            coarseSparsity: sparsity! / 2,
          }),
          { threshold, coarseThreshold: coarseThreshold!, dropped },
        );
      }
      let kept = 0;
      let above = 0;
      for (const { problem, coarse } of made) {
        const found = squeezedLookup({
          ...problem,
          threshold: threshold * (1 + 1e-5),
          coarse: { ...coarse!, threshold: coarseThreshold! * (1 + 1e-5) },
        });
        kept += found.kept.reduce((sum, bit) => sum + bit, 0);
        above += found.coarseMeans.reduce(
          (sum, mean, i) =>
            mean > coarseThreshold! * (1 + 1e-5)
              ? sum + coarse!.counts[i]
              : sum,
          0,
        );
      }
      const all = 2 * HEADS * (KEYS - 6);
      assertEquals(dropped, (all - kept) / all);
      assert(dropped >= sparsity!);
      const part = coarseSparsity ?? sparsity! / 2;
      assert(1 - above / all >= part, `${above} of ${all}`);
      if (part === 0) assertEquals(coarseThreshold, 0);
      assert(part === 0 || coarseThreshold! > 0);
    }
    for (const { clusters } of made) clusters.destroy();
  },
);

gpuTest("what cannot be calibrated is refused by name", async (_, gpu) => {
  const [one, other] = await layers(gpu, 1);
  const [two, last] = await layers(gpu, 2);
  const refused = async (
    options: Record<string, unknown>,
    type: ErrorConstructor,
    text: string,
  ) => {
    await assertRejects(
      () =>
        calibrateSqueezed(gpu, {
          contexts: [one],
          sparsity: 0.5,
          ...options,
        } as CalibrationOptions),
      type,
      text,
    );
  };
  await refused(
    { sparsity: 1 },
    RangeError,
    "sparsity of calibrateSqueezed() must be >= 0 and < 1",
  );
  await refused(
    { sparsity: -0.1 },
    RangeError,
    "sparsity of calibrateSqueezed()",
  );
  await refused(
    { sparsity: undefined },
    TypeError,
    "sparsity must be a number",
  );
  await refused(
    { contexts: [] },
    RangeError,
    "contexts of calibrateSqueezed() must have one at least",
  );
  await refused(
    { contexts: one },
    TypeError,
    "contexts of calibrateSqueezed() must be an array",
  );
  await refused(
    { contexts: [one, two] },
    TypeError,
    "contexts[1].clusters of calibrateSqueezed() must have as many levels as those of contexts[0] (1)",
  );
  await refused(
    { coarseSparsity: 0.2 },
    TypeError,
    "coarseSparsity of calibrateSqueezed() must be given with clusters of two levels only",
  );
  await refused(
    { contexts: [two], coarseSparsity: 0.6 },
    RangeError,
    "coarseSparsity of calibrateSqueezed() must be <= sparsity (0.5)",
  );
  await refused({ percentile: 70 }, TypeError, "write sparsity");
  const query = { data: new Float32Array(3 * DIM), shape: [1, 3, DIM] };
  await refused(
    { contexts: [{ ...one, query }] },
    TypeError,
    "contexts[0].query.shape must be [queries, a multiple of 2 heads, 8]",
  );
  await refused(
    { scale: 1e39 },
    RangeError,
    "scale must be finite in float32",
  );
  using long = gpu.empty("f32", [2, 1, 257]);
  using words = gpu.empty("u32", [2, 1]);
  const clusters = { centroids: long, counts: words, labels: words };
  await refused(
    { contexts: [{ clusters, query: long }] },
    RangeError,
    "contexts[0].clusters.centroids: headDim must be an integer in 1..256",
  );
  const none = { data: new Float32Array(0), shape: [0, 2, DIM] };
  await refused(
    { contexts: [{ ...one, query: none }] },
    RangeError,
    "contexts[0].query.shape must have a query",
  );
  for (const { clusters } of [one, other, two, last]) clusters.destroy();
});

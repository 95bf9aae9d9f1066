/** What holds of Squeezed Attention's look-up, whatever the clusters are. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  clusterMeans,
  clusterScores,
  clustersOf,
  squeezedLookup,
} from "../../../reference/mod.ts";
import {
  type ContextCase,
  contextOf,
  PLAIN,
  queriesOf,
} from "../../policies/squeezed/contexts.ts";
import { property } from "../../support/property.ts";

const CASES = fc.record({
  seed: fc.nat(1e6),
  context: fc.integer({ min: 1, max: 40 }),
  queries: fc.integer({ min: 1, max: 4 }),
  heads: fc.constantFrom([1, 1], [4, 2], [3, 3]),
  headDim: fc.integer({ min: 1, max: 6 }),
  clusters: fc.integer({ min: 1, max: 9 }),
  coarse: fc.integer({ min: 1, max: 4 }),
}).map(({ heads: [queryHeads, kvHeads], ...rest }): ContextCase => ({
  ...PLAIN,
  ...rest,
  queryHeads,
  kvHeads,
}));

property(
  "clusterScores() of all keys add up to 1 for each query",
  [CASES],
  (c) => {
    const context = contextOf(c);
    for (const level of [context.level, context.coarse!]) {
      const scores = clusterScores({ ...queriesOf(c, context), level });
      for (let row = 0; row < c.queries * c.queryHeads; row++) {
        const head = Math.floor(
          row % c.queryHeads / (c.queryHeads / c.kvHeads),
        );
        let sum = 0;
        for (let i = 0; i < level.clusters; i++) {
          sum += level.counts[head * level.clusters + i] *
            scores[row * level.clusters + i];
        }
        assertAlmostEquals(sum, 1, 1e-12);
      }
    }
  },
);

property("clusterScores() of clusters of one key are attention's weights", [
  CASES,
], (c) => {
  const { query, key } = contextOf(c);
  const { kvHeads, headDim, context, queryHeads, queries } = c;
  const labels = Uint32Array.from(
    { length: kvHeads * context },
    (_, at) => at % context,
  );
  const level = clustersOf({
    key,
    kvHeads,
    headDim,
    clusters: context,
    labels,
  });
  const scores = clusterScores({ ...queriesOf(c, contextOf(c)), level });
  // Values that single a key out give its weight.
  const value = new Float64Array(context * kvHeads * context);
  for (let i = 0; i < context * kvHeads; i++) {
    value[i * context + Math.floor(i / kvHeads)] = 1;
  }
  const { output } = attention({
    query,
    key: key.subarray(0, context * kvHeads * headDim),
    value,
    batch: 1,
    queryLength: queries,
    keyLength: context,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim: context,
  });
  output.forEach((weight, at) => assertAlmostEquals(scores[at], weight, 1e-12));
});

property(
  "squeezedLookup() keeps fewer keys at a higher threshold, and with two levels only what the upper one leaves",
  [
    CASES,
    fc.double({ min: 0, max: 0.2, noNaN: true }),
    fc.double({ min: 0, max: 0.2, noNaN: true }),
  ],
  (c, a, b) => {
    const context = contextOf(c);
    const of = queriesOf(c, context);
    const { level } = context;
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const keptAt = (threshold: number) =>
      squeezedLookup({ ...of, level, threshold });
    const [more, fewer] = [keptAt(low), keptAt(high)];
    fewer.kept.forEach((bit, at) => assert(bit <= more.kept[at]));
    assert(keptAt(0).kept.every((bit) => bit === 1));
    assert(keptAt(1).kept.every((bit) => bit === 0));
    assertEquals(more.lookups, new Array(c.kvHeads).fill(c.clusters));

    const coarse = { ...context.coarse!, threshold: low };
    const both = squeezedLookup({ ...of, level, threshold: high, coarse });
    // What the upper level leaves, key by key.
    const upper = Uint32Array.from(
      level.labels,
      (cluster, at) =>
        coarse.labels[Math.floor(at / c.context) * c.clusters + cluster],
    );
    const left = squeezedLookup({
      ...of,
      level: { ...coarse, labels: upper },
      threshold: low,
    });
    both.kept.forEach((bit, at) => assert(bit <= left.kept[at]));
    assertEquals(both.coarseMeans, left.means);
    // A denominator without the others' keys is smaller, and scores are larger.
    both.means.forEach((mean, at) => {
      const alone = clusterMeans({ ...of, level })[at];
      assert(mean === 0 || mean >= alone * (1 - 1e-12));
    });
    both.lookups.forEach((count) =>
      assert(count >= c.coarse && count <= c.coarse + c.clusters)
    );
    // Nothing is left out, and both levels are as one.
    const all = squeezedLookup({
      ...of,
      level,
      threshold: high,
      coarse: { ...coarse, threshold: 0 },
    });
    assertEquals(all.kept, fewer.kept);
  },
);

Deno.test("clusterMeans() are over queries, and over the heads that share keys", () => {
  const level = { clusters: 2, centroids: [1, -1], counts: [1, 1] };
  const one = (query: number) =>
    clusterScores({
      query: [query],
      queries: 1,
      queryHeads: 1,
      kvHeads: 1,
      headDim: 1,
      level,
    })[0];
  const [mean] = clusterMeans({
    query: [0.1, 0.2, 0.3, 0.4],
    queries: 2,
    queryHeads: 2,
    kvHeads: 1,
    headDim: 1,
    level,
  });
  assertAlmostEquals(
    mean,
    (one(0.1) + one(0.2) + one(0.3) + one(0.4)) / 4,
    1e-15,
  );
});

/**
 * Contexts with clusters for tests of Squeezed Attention, as plain data.
 *
 * @module
 */

import {
  clusterMeans,
  clustersOf,
  type ReferenceClusters,
  type SqueezedLookupProblem,
} from "../../../reference/mod.ts";
import { roundAll } from "../../../reference/naive.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import type { SqueezedClusters } from "../../../src/policies/mod.ts";

/** A context, and queries after it. */
export interface ContextCase {
  readonly seed: number;
  readonly dtype: "f32" | "f16";
  /** Keys in clusters. */
  readonly context: number;
  /** Keys behind them, queries' own included. */
  readonly rest: number;
  readonly queries: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  /** Clusters, some of which may have no key. */
  readonly clusters: number;
  /** Clusters a level above; 0 for one level. */
  readonly coarse: number;
  /** How far keys of a cluster are from its middle; the middles are 1 long. */
  readonly spread: number;
}

/** The smallest case; tests spread it and change what they are about. */
export const PLAIN: ContextCase = {
  seed: 1,
  dtype: "f32",
  context: 75,
  rest: 9,
  queries: 3,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 16,
  valueHeadDim: 16,
  clusters: 7,
  coarse: 0,
  spread: 0.3,
};

/** What follows from a case. */
export interface Context {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
  readonly level: ReferenceClusters;
  readonly coarse: ReferenceClusters | undefined;
}

/** Numbers of a case: keys in clusters, each about its own middle. */
export function contextOf(c: ContextCase): Context {
  const random = new Prng(c.seed);
  const { kvHeads, headDim, context, clusters } = c;
  const normals = (count: number) =>
    Float32Array.from({ length: count }, () => random.normal());
  const middles = normals(kvHeads * clusters * headDim);
  const labels = Uint32Array.from(
    { length: kvHeads * context },
    () => random.below(clusters),
  );
  const key = normals((context + c.rest) * kvHeads * headDim);
  for (let i = 0; i < context; i++) {
    for (let head = 0; head < kvHeads; head++) {
      const middle = (head * clusters + labels[head * context + i]) * headDim;
      for (let t = 0; t < headDim; t++) {
        const at = (i * kvHeads + head) * headDim + t;
        key[at] = middles[middle + t] + c.spread * key[at];
      }
    }
  }
  const stored = roundAll(c.dtype, key);
  const level = rounded(
    clustersOf({ key: stored, kvHeads, headDim, clusters, labels }),
  );
  return {
    query: roundAll(c.dtype, normals(c.queries * c.queryHeads * headDim)),
    key: stored,
    value: roundAll(
      c.dtype,
      normals((context + c.rest) * kvHeads * c.valueHeadDim),
    ),
    level,
    coarse: c.coarse === 0 ? undefined : coarseOf(c, { stored, level, random }),
  };
}

/** Centroids as the device has them; where there is no key, NaN. */
function rounded(level: ReferenceClusters): ReferenceClusters {
  const { centroids, counts } = level;
  const dim = centroids.length / counts.length;
  return {
    ...level,
    centroids: Float32Array.from(
      centroids,
      (x, at) => counts[Math.floor(at / dim)] === 0 ? NaN : x,
    ),
  };
}

/** Clusters of clusters, by chance. */
function coarseOf(
  { kvHeads, headDim, context, clusters, coarse }: ContextCase,
  { stored, level, random }: {
    readonly stored: Float32Array;
    readonly level: ReferenceClusters;
    readonly random: Prng;
  },
): ReferenceClusters {
  const labels = Uint32Array.from(
    { length: kvHeads * clusters },
    () => random.below(coarse),
  );
  const ofKeys = Uint32Array.from(
    level.labels,
    (cluster, at) => labels[Math.floor(at / context) * clusters + cluster],
  );
  return {
    ...rounded(
      clustersOf({
        key: stored,
        kvHeads,
        headDim,
        clusters: coarse,
        labels: ofKeys,
      }),
    ),
    labels,
  };
}

/** The look-up of a case, but for its thresholds. */
export function queriesOf(
  { queries, queryHeads, kvHeads, headDim }: ContextCase,
  { query }: Context,
) {
  return { query, queries, queryHeads, kvHeads, headDim };
}

/**
 * A threshold between two neighbouring means, so that float32 decides as float64
 * does: that keeps about a fraction of all clusters.
 */
export function betweenMeans(
  means: ArrayLike<number>,
  fraction: number,
): number {
  const sorted = Array.from(means).filter((mean) => mean > 0)
    .sort((a, b) => b - a);
  const wanted = Math.max(1, Math.round(fraction * sorted.length));
  // The widest gap near the wanted place.
  let best = Math.min(wanted, sorted.length - 1);
  for (let i = Math.max(1, wanted - 2); i <= wanted + 2; i++) {
    if (i >= sorted.length) break;
    if (sorted[i - 1] / sorted[i] > sorted[best - 1] / sorted[best]) best = i;
  }
  return sorted.length < 2 ? 0 : Math.sqrt(sorted[best - 1] * sorted[best]);
}

/** A look-up whose thresholds keep about a fraction on each level. */
export function lookupOf(
  c: ContextCase,
  context: Context,
  fraction: number,
): SqueezedLookupProblem {
  const of = queriesOf(c, context);
  const { level, coarse } = context;
  if (!coarse) {
    const means = clusterMeans({ ...of, level });
    return { ...of, level, threshold: betweenMeans(means, fraction) };
  }
  const coarseMeans = clusterMeans({ ...of, level: coarse });
  const threshold = betweenMeans(coarseMeans, Math.max(fraction, 0.6));
  const means = clusterMeans({
    ...of,
    level,
    alive: (head, cluster) =>
      coarseMeans[
        head * coarse.clusters + coarse.labels[head * level.clusters + cluster]
      ] > threshold,
  });
  return {
    ...of,
    level,
    threshold: betweenMeans(means, fraction),
    coarse: { ...coarse, threshold },
  };
}

/** Clusters on the device. */
export function clustersOn(
  gpu: Gpu,
  { kvHeads, headDim }: ContextCase,
  { level, coarse }: Context,
  keep: (tensor: GpuTensor) => GpuTensor,
): SqueezedClusters {
  const one = ({ clusters, centroids, counts, labels }: ReferenceClusters) => ({
    centroids: keep(
      gpu.tensor(Float32Array.from(centroids), [kvHeads, clusters, headDim]),
    ),
    counts: keep(gpu.tensor(Uint32Array.from(counts), [kvHeads, clusters])),
    labels: keep(
      gpu.tensor(Uint32Array.from(labels), [kvHeads, labels.length / kvHeads]),
    ),
  });
  return { ...one(level), ...(coarse && { coarse: one(coarse) }) };
}

/**
 * The look-up of Squeezed Attention (Hooper et al. 2024) in float64: which keys
 * of a fixed context queries keep, by the centroids of the keys' clusters.
 *
 * @module
 */

import { checkInteger, checkType } from "../../src/core/check.ts";

/**
 * Clusters, each kv head's own; what has members is a key, or a cluster below.
 *
 * @category Reference
 */
export interface ReferenceClusters {
  /** How many there are. */
  readonly clusters: number;
  /** `[kvHeads, clusters, headDim]`: the mean of each cluster's keys. */
  readonly centroids: ArrayLike<number>;
  /** `[kvHeads, clusters]`: keys of each. */
  readonly counts: ArrayLike<number>;
  /** `[kvHeads, members]`: the cluster of each member. */
  readonly labels: ArrayLike<number>;
}

/**
 * Queries that look a context up together.
 *
 * @category Reference
 */
export interface ClusterQueries {
  /** `[queries, queryHeads, headDim]`. */
  readonly query: ArrayLike<number>;
  /** How many there are. */
  readonly queries: number;
  /** Query heads. */
  readonly queryHeads: number;
  /** Key/value heads, a divisor of them. */
  readonly kvHeads: number;
  /** Elements of a row. */
  readonly headDim: number;
  /** Of scores; `1 / sqrt(headDim)` by default. */
  readonly scale?: number | undefined;
}

/**
 * What {@linkcode clusterScores} takes.
 *
 * @category Reference
 */
export interface ClusterScoresProblem extends ClusterQueries {
  /** What they are held against. */
  readonly level: Pick<ReferenceClusters, "clusters" | "centroids" | "counts">;
  /** Which clusters are looked at; all, if not given. */
  readonly alive?: ((kvHead: number, cluster: number) => boolean) | undefined;
}

/**
 * How much of a query's attention one key of each cluster has by its centroid,
 *
 * ```text
 * S_i(q) = exp(scale <q, C_i>) / sum over j of N_j exp(scale <q, C_j>)
 * ```
 *
 * and 0 of a cluster that is empty or not looked at.
 *
 * @returns `[queries, queryHeads, clusters]`.
 *
 * @example Over all keys, it adds up to 1
 * ```ts
 * import { clusterScores } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const scores = clusterScores({
 *   query: [1, 2],
 *   queries: 1,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 *   level: { clusters: 2, centroids: [1, 0, 0, 1], counts: [3, 5] },
 * });
 * assertAlmostEquals(3 * scores[0] + 5 * scores[1], 1);
 * ```
 *
 * @category Reference
 */
export function clusterScores(problem: ClusterScoresProblem): Float64Array {
  const { query, queries, queryHeads, kvHeads, headDim } = problem;
  const { level: { clusters, centroids, counts }, alive } = problem;
  const { scale = 1 / Math.sqrt(headDim) } = problem;
  checkInteger("queries", queries, 0);
  checkType(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  const all = new Float64Array(queries * queryHeads * clusters);
  for (let row = 0; row < queries * queryHeads; row++) {
    const kvHead = Math.floor(row % queryHeads / (queryHeads / kvHeads));
    const seen = (i: number) =>
      counts[kvHead * clusters + i] > 0 && (alive?.(kvHead, i) ?? true);
    const scores = Array.from({ length: clusters }, (_, i) => {
      let sum = 0;
      for (let c = 0; c < headDim; c++) {
        sum += query[row * headDim + c] *
          centroids[(kvHead * clusters + i) * headDim + c];
      }
      return scale * sum;
    });
    const most = scores.reduce(
      (most, score, i) => seen(i) ? Math.max(most, score) : most,
      -Infinity,
    );
    let sum = 0;
    for (let i = 0; i < clusters; i++) {
      if (!seen(i)) continue;
      sum += counts[kvHead * clusters + i] * Math.exp(scores[i] - most);
    }
    for (let i = 0; i < clusters; i++) {
      if (!seen(i)) continue;
      all[row * clusters + i] = Math.exp(scores[i] - most) / sum;
    }
  }
  return all;
}

/**
 * The mean of {@linkcode clusterScores} over all queries, and over the query
 * heads that share the keys.
 *
 * @returns `[kvHeads, clusters]`.
 *
 * @example Two query heads of one kv head
 * ```ts
 * import { clusterMeans } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const [one, other] = clusterMeans({
 *   query: [1, 0, 0, 1],
 *   queries: 1,
 *   queryHeads: 2,
 *   kvHeads: 1,
 *   headDim: 2,
 *   level: { clusters: 2, centroids: [1, 0, 0, 1], counts: [4, 4] },
 * });
 * assertAlmostEquals(one, other);
 * ```
 *
 * @category Reference
 */
export function clusterMeans(problem: ClusterScoresProblem): Float64Array {
  const { queries, queryHeads, kvHeads, level: { clusters } } = problem;
  const scores = clusterScores(problem);
  const group = queryHeads / kvHeads;
  const means = new Float64Array(kvHeads * clusters);
  scores.forEach((score, at) => {
    const head = Math.floor(at / clusters) % queryHeads;
    means[Math.floor(head / group) * clusters + at % clusters] += score /
      (queries * group);
  });
  return means;
}

/**
 * What {@linkcode squeezedLookup} takes.
 *
 * @category Reference
 */
export interface SqueezedLookupProblem extends ClusterQueries {
  /** Clusters of keys. */
  readonly level: ReferenceClusters;
  /** Keys are kept whose cluster has a mean above it. */
  readonly threshold: number;
  /** The level above, and what a mean of it must be above. */
  readonly coarse?:
    | (ReferenceClusters & { readonly threshold: number })
    | undefined;
}

/**
 * What a look-up finds.
 *
 * @category Reference
 */
export interface SqueezedLookup {
  /** `[kvHeads, keys]`: 1 where a key is kept. */
  readonly kept: Uint8Array;
  /** `[kvHeads, clusters]`: 0 where one was not looked at. */
  readonly means: Float64Array;
  /** `[kvHeads, coarse clusters]`; empty where there is one level. */
  readonly coarseMeans: Float64Array;
  /** Centroids that each query was held against, of each kv head. */
  readonly lookups: readonly number[];
}

/**
 * Which keys all of some queries keep: those whose cluster has a mean above the
 * threshold. With two levels only clusters are looked at whose own cluster's mean
 * is above the other threshold; the others' keys count in no denominator.
 *
 * @example A threshold of 0 keeps every key
 * ```ts
 * import { squeezedLookup } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { kept } = squeezedLookup({
 *   query: [1, 2],
 *   queries: 1,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 *   level: { clusters: 2, centroids: [1, 0, 0, 1], counts: [1, 2], labels: [1, 0, 1] },
 *   threshold: 0,
 * });
 * assertEquals([...kept], [1, 1, 1]);
 * ```
 *
 * @category Reference
 */
export function squeezedLookup(problem: SqueezedLookupProblem): SqueezedLookup {
  const { level, coarse, threshold, kvHeads } = problem;
  const coarseMeans = coarse
    ? clusterMeans({ ...problem, level: coarse })
    : new Float64Array(0);
  const alive = (kvHead: number, cluster: number) =>
    !coarse ||
    coarseMeans[
        kvHead * coarse.clusters +
        coarse.labels[kvHead * level.clusters + cluster]
      ] > coarse.threshold;
  const means = clusterMeans({ ...problem, alive });
  const keys = level.labels.length / kvHeads;
  const kept = Uint8Array.from(level.labels, (cluster, at) => {
    const kvHead = Math.floor(at / keys);
    return means[kvHead * level.clusters + cluster] > threshold ? 1 : 0;
  });
  const lookups = Array.from({ length: kvHeads }, (_, kvHead) => {
    let count = coarse?.clusters ?? 0;
    for (let i = 0; i < level.clusters; i++) if (alive(kvHead, i)) count++;
    return count;
  });
  return { kept, means, coarseMeans, lookups };
}

/**
 * What {@linkcode clustersOf} takes.
 *
 * @category Reference
 */
export interface LabelledKeys {
  /** `[keys, kvHeads, headDim]`. */
  readonly key: ArrayLike<number>;
  /** Key/value heads. */
  readonly kvHeads: number;
  /** Elements of a row. */
  readonly headDim: number;
  /** Clusters of each head. */
  readonly clusters: number;
  /** `[kvHeads, keys]`, the first keys of `key`. */
  readonly labels: ArrayLike<number>;
}

/**
 * The clusters of labelled keys: their means and how many keys they have.
 *
 * @example Three keys in two clusters
 * ```ts
 * import { clustersOf } from "@quire/attention/reference";
 *
 * const { centroids, counts } = clustersOf({
 *   key: [1, 1, 3, 3, 9, 9],
 *   kvHeads: 1,
 *   headDim: 2,
 *   clusters: 2,
 *   labels: [0, 0, 1],
 * });
 * console.log(centroids, counts); // 2 2 9 9, 2 1
 * ```
 *
 * @category Reference
 */
export function clustersOf(
  { key, kvHeads, headDim, clusters, labels }: LabelledKeys,
): ReferenceClusters {
  const keys = labels.length / kvHeads;
  const centroids = new Float64Array(kvHeads * clusters * headDim);
  const counts = new Uint32Array(kvHeads * clusters);
  for (let head = 0; head < kvHeads; head++) {
    for (let i = 0; i < keys; i++) {
      const cluster = head * clusters + labels[head * keys + i];
      counts[cluster]++;
      for (let c = 0; c < headDim; c++) {
        centroids[cluster * headDim + c] +=
          key[(i * kvHeads + head) * headDim + c];
      }
    }
  }
  const means = centroids.map((sum, at) =>
    sum / Math.max(1, counts[Math.floor(at / headDim)])
  );
  return { clusters, centroids: means, counts, labels };
}

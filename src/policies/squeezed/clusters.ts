/**
 * What a fixed context's keys are grouped into: what the offline half of Squeezed
 * Attention makes and its online half looks up.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { Gpu, GpuTensor } from "../../gpu/mod.ts";
import { checkTensor } from "../../ops/plan/tensors.ts";

/**
 * Clusters of keys or, a level above, of clusters, each head's own.
 *
 * @category Policies
 */
export interface ClusterLevel {
  /**
   * `[kvHeads, clusters, headDim]`, f32: the mean of each cluster's keys as a
   * cache holds them, rotated and not normalised; anything where there is none.
   */
  readonly centroids: GpuTensor;
  /** `[kvHeads, clusters]`, u32: how many keys each has; 0 where there is none. */
  readonly counts: GpuTensor;
  /**
   * `[kvHeads, members]`, u32: the cluster of each key or, a level above, of each
   * cluster below.
   */
  readonly labels: GpuTensor;
}

/**
 * Clusters of a context's keys, and clusters of these where there are two levels.
 *
 * @category Policies
 */
export interface SqueezedClusters extends ClusterLevel {
  /** The layer that they are of, where that is known. */
  readonly layer?: number | undefined;
  /** The level above: its `labels` say which of its clusters each cluster is in. */
  readonly coarse?: ClusterLevel | undefined;
}

/**
 * How many of everything there are.
 *
 * @category Policies
 */
export interface ClusterSizes {
  /** Key heads. */
  readonly kvHeads: number;
  /** Elements of a key. */
  readonly headDim: number;
  /** Keys of the context that are in clusters: its first. */
  readonly keys: number;
  /** Clusters of keys. */
  readonly clusters: number;
  /** Clusters of clusters; 0 where there is one level. */
  readonly coarse: number;
}

/**
 * The sizes of clusters, checked against one another.
 *
 * @throws {TypeError} if a tensor is missing, destroyed, of another Gpu or dtype,
 * or shapes do not fit
 * @throws {RangeError} if keys have more than 256 elements
 *
 * @example
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { clusterSizes } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const sizes = clusterSizes(gpu, {
 *   centroids: gpu.empty("f32", [2, 8, 64]),
 *   counts: gpu.empty("u32", [2, 8]),
 *   labels: gpu.empty("u32", [2, 100]),
 * });
 * console.log(sizes.clusters, sizes.keys, sizes.coarse); // 8 100 0
 * ```
 *
 * @category Policies
 */
export function clusterSizes(
  gpu: Gpu,
  clusters: SqueezedClusters,
  name = "clusters",
): ClusterSizes {
  checkType(
    typeof clusters === "object" && clusters !== null,
    name,
    "must be { centroids, counts, labels }, as of a fixed context",
    clusters,
  );
  const { members, ...fine } = levelSizes(gpu, clusters, name);
  const { kvHeads, headDim } = fine;
  if (clusters.coarse === undefined) {
    return { ...fine, keys: members, coarse: 0 };
  }
  const coarse = levelSizes(gpu, clusters.coarse, `${name}.coarse`);
  checkType(
    coarse.kvHeads === kvHeads && coarse.headDim === headDim,
    `${name}.coarse.centroids`,
    `must be [${kvHeads}, coarse clusters, ${headDim}], as ${name}.centroids has it`,
    clusters.coarse.centroids.shape,
  );
  checkType(
    coarse.members === fine.clusters,
    `${name}.coarse.labels`,
    `must be [${kvHeads}, ${fine.clusters}], one for each cluster below`,
    clusters.coarse.labels.shape,
  );
  return { ...fine, keys: members, coarse: coarse.clusters };
}

/**
 * Throws unless clusters have the sizes that something was made for.
 *
 * @throws {TypeError} naming what differs
 */
export function checkSameSizes(found: ClusterSizes, own: ClusterSizes): void {
  for (const name of Object.keys(own) as (keyof ClusterSizes)[]) {
    checkType(
      found[name] === own[name],
      `clusters' ${name}`,
      `must be those that it was made for (${
        own[name]
      }); make it anew for a context that has grown`,
      found[name],
    );
  }
}

function levelSizes(
  gpu: Gpu,
  { centroids, counts, labels }: ClusterLevel,
  name: string,
) {
  checkTensor(gpu, `${name}.centroids`, centroids, { type: "f32" });
  checkTensor(gpu, `${name}.counts`, counts, { type: "u32" });
  checkTensor(gpu, `${name}.labels`, labels, { type: "u32" });
  checkType(
    centroids.shape.length === 3 && centroids.size > 0,
    `${name}.centroids`,
    "must be [kvHeads, clusters, headDim], none 0",
    centroids.shape,
  );
  const [kvHeads, clusters, headDim] = centroids.shape;
  // What the kernels that look clusters up have room for.
  checkInteger(`${name}.centroids: headDim`, headDim, 1, 256);
  checkType(
    counts.shape.length === 2 && counts.shape[0] === kvHeads &&
      counts.shape[1] === clusters,
    `${name}.counts`,
    `must be [${kvHeads}, ${clusters}], as ${name}.centroids has it`,
    counts.shape,
  );
  checkType(
    labels.shape.length === 2 && labels.shape[0] === kvHeads &&
      labels.shape[1] > 0,
    `${name}.labels`,
    `must be [${kvHeads}, members], some`,
    labels.shape,
  );
  return { kvHeads, headDim, clusters, members: labels.shape[1] };
}

/**
 * More keys of a context whose clusters stand: each goes to the nearest
 * direction, and into the mean of its cluster.
 *
 * @module
 */

import { type Gpu, type GpuTensor, Program } from "../../../gpu/mod.ts";
import { updateLoops } from "../../../../kernels/selection/kmeans/update.ts";
import type { ClusterLevel } from "../clusters.ts";
import type { KeyPlaces } from "./key_places.ts";
import { assignDispatches, type Directions, updateDispatch } from "./kmeans.ts";
import { gatherMembers } from "./members.ts";

/** What grows, from which key to which. */
export interface Growth {
  /** The key that is new, with all after it. */
  readonly first: number;
  /** One past the last key that goes into a cluster. */
  readonly end: number;
  /** `[kvHeads, first]`. */
  readonly labels: GpuTensor;
  /** Clusters of keys. */
  readonly fine: Pick<ClusterLevel, "centroids" | "counts"> & {
    readonly directions: Directions;
  };
  /** Clusters of clusters. */
  readonly coarse?: ClusterLevel | undefined;
  /** Throws where it is not to go on. */
  readonly check: () => void;
}

/** How many keys can be added at once. */
export function keysAtOnce(
  gpu: Pick<Gpu, "limits" | "maxLoopIterations">,
  heads: number,
  headDim: number,
): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  let keys = Math.floor(most / (heads * headDim * 4));
  while (updateLoops(keys) > gpu.maxLoopIterations) keys = Math.floor(keys / 2);
  return Math.max(1, keys);
}

/**
 * Adds keys to clusters. Nothing has changed where it throws.
 *
 * @returns The labels of all keys, `[kvHeads, end]`.
 */
export async function growClusters(
  gpu: Gpu,
  places: KeyPlaces,
  { first, end, labels, fine, coarse, check }: Growth,
): Promise<GpuTensor> {
  const { kvHeads: heads, headDim, format, headStride } = places;
  const sizes = { heads, members: end - first, headDim };
  const clusters = fine.counts.shape[1];
  const { centroids, counts, directions } = fine;
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    made.push(one);
    return one;
  };
  let grown: GpuTensor | undefined;
  try {
    const assign = keep(
      await Program.create(gpu, "squeezed.assign", {
        dispatches: assignDispatches(gpu, sizes, clusters),
      }),
    );
    const means = keep(
      await Program.create(gpu, "squeezed.means", {
        dispatches: [
          updateDispatch(gpu, sizes, { clusters, of: "keys", more: true }),
        ],
      }),
    );
    const above = coarse && keep(
      await Program.create(gpu, "squeezed.coarse_means", {
        dispatches: [updateDispatch(gpu, {
          heads,
          members: clusters,
          headDim,
        }, { clusters: coarse.counts.shape[1], of: "clusters" })],
      }),
    );
    const { rows, scales } = keep(
      await gatherMembers(gpu, sizes, {
        format,
        headStride,
        firstHead: 0,
        parts: places.parts(first, end),
      }),
    );
    const added = keep(gpu.empty("u32", [heads, sizes.members], "labels"));
    const best = keep(gpu.empty("f32", [heads, sizes.members], "best"));
    check();
    grown = gpu.empty("u32", [heads, end], "squeezed.labels");
    gpu.submit("squeezed.grow", (encoder) => {
      const { halves } = directions;
      assign.encode(encoder, {
        rows,
        scales,
        best,
        halves,
        centroids: directions.centroids,
        labels: added,
      });
      means.encode(encoder, { rows, centroids, counts, labels: added });
      if (above && coarse) {
        above.encode(encoder, {
          rows: centroids,
          weights: counts,
          labels: coarse.labels,
          centroids: coarse.centroids,
          counts: coarse.counts,
        });
      }
      for (let head = 0; head < heads; head++) {
        const put = (from: GpuTensor, count: number, at: number) =>
          encoder.copyBufferToBuffer(
            from.buffer,
            head * count * 4,
            grown!.buffer,
            (head * end + at) * 4,
            count * 4,
          );
        put(labels, first, 0);
        put(added, sizes.members, first);
      }
    });
    return grown;
  } catch (error) {
    grown?.destroy();
    throw error;
  } finally {
    for (const one of made) one.destroy();
  }
}

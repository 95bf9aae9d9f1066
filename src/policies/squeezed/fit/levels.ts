/**
 * From keys to clusters, and from clusters to clusters of clusters: some heads
 * at a time, as many as a binding holds the keys of.
 *
 * @module
 */

import { rowFormat, rowStride } from "../../../../kernels/fragments/rows.ts";
import { checkRange } from "../../../core/check.ts";
import {
  type Gpu,
  type GpuTensor,
  Program,
  type ReadOptions,
} from "../../../gpu/mod.ts";
import type { ClusterLevel } from "../clusters.ts";
import type { KeyPlaces } from "./key_places.ts";
import {
  type Directions,
  type Grouping,
  kmeans,
  updateDispatch,
} from "./kmeans.ts";
import { gatherMembers, type Members } from "./members.ts";

/** How many of everything there are to be. */
export interface FitSizes extends ReadOptions {
  /** Keys that go into clusters: the first. */
  readonly members: number;
  /** Clusters of keys. */
  readonly clusters: number;
  /** Clusters of clusters, or 0. */
  readonly coarse: number;
  /** The most iterations. */
  readonly iterations: number;
  /** Heads at a time; as many as can be bound by default. */
  readonly together?: number;
  /** `[kvHeads, clusters]` each; see `KmeansOptions`. */
  readonly draws: Readonly<Record<"fine" | "coarse", Float32Array>>;
}

/** Clusters of all heads. */
export interface FittedClusters {
  /** Of keys, with the directions that they were grouped by. */
  readonly fine: ClusterLevel & { readonly directions: Directions };
  /** Of clusters. */
  readonly coarse: ClusterLevel | undefined;
  /** Whether every k-means came to rest. */
  readonly converged: boolean;
}

/**
 * Groups the first keys of a context.
 *
 * @throws {RangeError} if one head's keys are more than can be bound
 */
export async function fitClusters(
  gpu: Gpu,
  places: KeyPlaces,
  sizes: FitSizes,
): Promise<FittedClusters> {
  const { kvHeads, headDim } = places;
  const { members, clusters, coarse } = sizes;
  const { together = headsAtOnce(gpu, members, headDim) } = sizes;
  const made: GpuTensor[] = [];
  const own = (dtype: "f32" | "u32", name: string, ...shape: number[]) => {
    const label = `squeezed.${name}`;
    const tensor = gpu.empty(dtype, [kvHeads, ...shape], label);
    made.push(tensor);
    return tensor;
  };
  try {
    const fine = {
      centroids: own("f32", "centroids", clusters, headDim),
      counts: own("u32", "counts", clusters),
      labels: own("u32", "labels", members),
      directions: {
        centroids: own("f32", "directions", clusters, headDim),
        halves: own("f32", "halves", clusters),
      },
    };
    const above = coarse === 0 ? undefined : {
      centroids: own("f32", "coarse.centroids", coarse, headDim),
      counts: own("u32", "coarse.counts", coarse),
      labels: own("u32", "coarse.labels", clusters),
    };
    const parts = places.parts(0, members);
    let converged = true;
    for (let first = 0; first < kvHeads; first += together) {
      const heads = Math.min(together, kvHeads - first);
      const levels = await fitHeads(gpu, places, {
        ...sizes,
        first,
        heads,
        parts,
      });
      converged &&= levels.every(({ grouping }) => grouping.converged);
      try {
        gpu.submit("squeezed.heads", (encoder) => {
          const [below, over] = levels;
          place(encoder, first, below, fine);
          if (over && above) place(encoder, first, over, above);
        });
      } finally {
        for (const level of levels) level.destroy();
      }
    }
    return { fine, coarse: above, converged };
  } catch (error) {
    for (const tensor of made) tensor.destroy();
    throw error;
  }
}

/** Heads whose keys fit one binding. */
function headsAtOnce(gpu: Gpu, members: number, headDim: number): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const bytes = members * headDim * 4;
  checkRange(
    bytes <= most,
    "key",
    `of squeezed attention must be at most ${
      Math.floor(most / headDim / 4)
    } keys and the observation window, which is what this device binds of a head in f32`,
    members,
  );
  return Math.floor(most / bytes);
}

/** A level of some heads. */
interface HeadLevel extends Pick<ClusterLevel, "centroids" | "counts"> {
  readonly grouping: Grouping;
  destroy(): void;
}

/** Both levels of some heads, or the only one. */
async function fitHeads(
  gpu: Gpu,
  { headDim, format, headStride }: KeyPlaces,
  { first, heads, parts, members, clusters, coarse, draws, iterations, signal }:
    & FitSizes
    & {
      readonly first: number;
      readonly heads: number;
      readonly parts: ReturnType<KeyPlaces["parts"]>;
    },
): Promise<HeadLevel[]> {
  const levels: HeadLevel[] = [];
  const options = { iterations, ...(signal && { signal }) };
  const drawn = (of: Float32Array, count: number) =>
    of.slice(first * count, (first + heads) * count);
  try {
    const keys = await gatherMembers(gpu, { heads, members, headDim }, {
      format,
      headStride,
      firstHead: first,
      parts,
    });
    levels.push(
      await fitLevel(gpu, keys, {
        ...options,
        clusters,
        draws: drawn(draws.fine, clusters),
      }),
    );
    if (coarse === 0) return levels;
    const [{ centroids, counts }] = levels;
    const rows = await gatherMembers(
      gpu,
      { heads, members: clusters, headDim },
      sourceOf(centroids),
    );
    levels.push(
      await fitLevel(gpu, rows, {
        ...options,
        clusters: coarse,
        draws: drawn(draws.coarse, coarse),
        weights: counts,
      }),
    );
    return levels;
  } catch (error) {
    for (const level of levels) level.destroy();
    throw error;
  }
}

/** Centroids as rows to be gathered. */
function sourceOf(centroids: GpuTensor) {
  const [, clusters, headDim] = centroids.shape;
  const format = rowFormat("f32", headDim);
  const stride = rowStride(format, headDim);
  const places = Uint32Array.from(
    { length: 2 * clusters },
    (_, i) => (i >> 1) * (i % 2 === 0 ? 1 : stride),
  );
  return {
    format,
    headStride: clusters * stride,
    firstHead: 0,
    parts: [{ source: centroids, places }],
  };
}

/** Groups rows, which it takes over, and makes the centroids of the groups. */
async function fitLevel(
  gpu: Gpu,
  members: Members,
  { weights, ...options }: Parameters<typeof kmeans>[2] & {
    readonly weights?: GpuTensor;
  },
): Promise<HeadLevel> {
  const { clusters } = options;
  const { heads, headDim, rows } = members;
  const made: { destroy(): void }[] = [];
  const destroy = () => made.forEach((one) => one.destroy());
  let program: Program | undefined;
  try {
    const grouping = await kmeans(gpu, members, options);
    made.push(grouping);
    program = await Program.create(gpu, "squeezed.means", {
      dispatches: [
        updateDispatch(gpu, members, {
          clusters,
          of: weights ? "clusters" : "keys",
        }),
      ],
    });
    const centroids = gpu.empty("f32", [heads, clusters, headDim], "means");
    made.push(centroids);
    const counts = gpu.empty("u32", [heads, clusters], "counts");
    made.push(counts);
    const { labels } = grouping;
    gpu.submit(
      "squeezed.means",
      (encoder) =>
        program!.encode(encoder, { rows, centroids, labels, counts, weights }),
    );
    return { grouping, centroids, counts, destroy };
  } catch (error) {
    destroy();
    throw error;
  } finally {
    program?.destroy();
    members.destroy();
  }
}

/** Puts what some heads have into the tensors of all. */
function place(
  encoder: GPUCommandEncoder,
  first: number,
  { grouping, centroids, counts }: HeadLevel,
  to: ClusterLevel & { readonly directions?: Directions },
): void {
  const copy = (from: GpuTensor, into: GpuTensor) => {
    const head = into.byteLength / into.shape[0];
    encoder.copyBufferToBuffer(
      from.buffer,
      0,
      into.buffer,
      first * head,
      from.byteLength,
    );
  };
  copy(centroids, to.centroids);
  copy(counts, to.counts);
  copy(grouping.labels, to.labels);
  if (to.directions === undefined) return;
  copy(grouping.centroids, to.directions.centroids);
  copy(grouping.halves, to.directions.halves);
}

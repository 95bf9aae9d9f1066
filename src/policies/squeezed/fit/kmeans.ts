/**
 * K-means of directions on the device (Lloyd 1982, seeded as k-means++ by
 * Arthur and Vassilvitskii 2007): what is near in it points the same way,
 * however long it is.
 *
 * @module
 */

import { rowFormat } from "../../../../kernels/fragments/rows.ts";
import {
  ASSIGN_CLUSTERS,
  ASSIGN_LANES,
  assignLoops,
  kmeansAssignKernel,
} from "../../../../kernels/selection/kmeans/assign.ts";
import {
  kmeansSeedDistancesKernel,
  SEED_GROUP,
} from "../../../../kernels/selection/kmeans/seed_distances.ts";
import {
  kmeansSeedPickKernel,
  SEED_PICK_LANES,
  seedPickLoops,
} from "../../../../kernels/selection/kmeans/seed_pick.ts";
import {
  kmeansUpdateKernel,
  type KmeansUpdateSpec,
  updateLoops,
} from "../../../../kernels/selection/kmeans/update.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import {
  type Dispatch,
  type Gpu,
  type GpuTensor,
  Program,
  type ReadOptions,
} from "../../../gpu/mod.ts";
import { type Members, type MemberSizes, memberUniforms } from "./members.ts";

/** Steps of seeding in one submit. */
const SEEDS_A_SUBMIT = 256;

/** Iterations between two looks at whether anything moved. */
const ITERATIONS_A_LOOK = 4;

/** More than <u, c> is of any direction: the half of a cluster that has none. */
const NEVER = 2 ** 126;

/** How rows are grouped. */
export interface KmeansOptions extends ReadOptions {
  /** Clusters of each head. */
  readonly clusters: number;
  /** The most iterations. */
  readonly iterations: number;
  /** `[heads, clusters]` numbers of 0 and more, below 1, that seeds are drawn by. */
  readonly draws: Float32Array;
}

/** By what new rows are grouped as the old ones were. */
export interface Directions {
  /** `[heads, clusters, headDim]`, f32: the means of directions. */
  readonly centroids: GpuTensor;
  /** `[heads, clusters]`, f32: half of each one's square. */
  readonly halves: GpuTensor;
}

/** Rows in clusters. */
export interface Grouping extends Directions {
  /** `[heads, members]`, u32: the cluster whose direction is nearest. */
  readonly labels: GpuTensor;
  /** Iterations that ran. */
  readonly iterations: number;
  /** Whether the last of them moved no centroid. */
  readonly converged: boolean;
  /** Frees all. */
  destroy(): void;
}

/**
 * The dispatches that find the nearest direction of rows.
 *
 * Bindings: `rows`, `scales`, `centroids`, `halves`, `labels`, and `best` of a
 * word a row.
 */
export function assignDispatches(
  gpu: Pick<Gpu, "limits" | "maxLoopIterations">,
  sizes: MemberSizes,
  clusters: number,
): Dispatch[] {
  const { heads, members, headDim } = sizes;
  const uniforms = memberUniforms(sizes);
  const source = kmeansAssignKernel({ format: rowFormat("f32", headDim) });
  const groups = Math.ceil(members / ASSIGN_LANES);
  const most = clustersAtOnce(gpu.maxLoopIterations, uniforms.head_vecs);
  const dispatches: Dispatch[] = [];
  for (let first = 0; first < clusters; first += most) {
    dispatches.push({
      source,
      uniforms: {
        ...uniforms,
        clusters,
        groups,
        first,
        end: Math.min(first + most, clusters),
      },
      grid: foldGrid(heads * groups, gpu.limits),
    });
  }
  return dispatches;
}

/** Clusters that a member can be held against in one dispatch. */
export function clustersAtOnce(
  maxLoopIterations: number,
  headVecs: number,
): number {
  const each = assignLoops(ASSIGN_CLUSTERS, headVecs) - 1;
  const rounds = Math.floor((maxLoopIterations - 1) / each);
  return Math.min(rounds * ASSIGN_CLUSTERS, 2 ** 31);
}

/**
 * The dispatch that makes the means of clusters.
 *
 * @param more Of keys: whether they are added to those that clusters have.
 * @throws {UnsupportedError} if an adapter would end its loops early
 */
export function updateDispatch(
  gpu: Pick<Gpu, "limits" | "maxLoopIterations">,
  sizes: MemberSizes,
  { clusters, of, more = false }: {
    readonly clusters: number;
    readonly of: KmeansUpdateSpec["of"];
    readonly more?: boolean;
  },
): Dispatch {
  const { heads, members, headDim } = sizes;
  checkLoops(gpu, members, updateLoops(members));
  return {
    source: kmeansUpdateKernel({ format: rowFormat("f32", headDim), of }),
    uniforms: { ...memberUniforms(sizes), clusters, more: more ? 1 : 0 },
    grid: foldGrid(heads * clusters, gpu.limits),
  };
}

function checkLoops(
  gpu: Pick<Gpu, "maxLoopIterations">,
  members: number,
  loops: number,
): void {
  if (loops <= gpu.maxLoopIterations) return;
  throw new UnsupportedError(
    `group ${members} keys`,
    `its loops take up to ${loops} iterations, and this adapter ends them after ${gpu.maxLoopIterations}`,
  );
}

/**
 * Groups rows by their direction. The same rows and draws give the same bits.
 *
 * Of fewer directions than clusters some clusters stay empty, and no row is ever
 * nearest to them. A cluster that loses its last row keeps its centroid.
 */
export async function kmeans(
  gpu: Gpu,
  members: Members,
  options: KmeansOptions,
): Promise<Grouping> {
  const { heads, members: count, headDim } = members;
  const { clusters } = options;
  const kept: GpuTensor[] = [];
  const passing: GpuTensor[] = [];
  const keep = (tensor: GpuTensor, of = kept) => (of.push(tensor), tensor);
  const destroy = () => kept.forEach((tensor) => tensor.destroy());
  const zeros = (shape: number[], name: string) =>
    keep(gpu.empty("f32", shape, `kmeans.${name}`));
  try {
    const labels = keep(gpu.empty("u32", [heads, count], "kmeans.labels"));
    const centroids = zeros([heads, clusters, headDim], "directions");
    const halves = keep(gpu.tensor(
      new Float32Array(heads * clusters).fill(NEVER),
      [heads, clusters],
      "kmeans.halves",
    ));
    const words = heads * clusters;
    const [counts, moved] = ["counts", "moved"].map((name) =>
      keep(gpu.empty("u32", [words], `kmeans.${name}`), passing)
    );
    const tensors = { labels, centroids, halves, counts, moved };
    keep(await drawSeeds(gpu, members, { ...options, labels }), passing);
    const run = await iterate(gpu, members, { ...options, tensors });
    return { labels, centroids, halves, ...run, destroy };
  } catch (error) {
    destroy();
    throw error;
  } finally {
    for (const tensor of passing) tensor.destroy();
  }
}

/**
 * Draws seeds, and labels rows by the nearest of them.
 *
 * @returns `[heads, 1 + clusters]`: how many, and which rows. The caller's.
 */
export async function drawSeeds(
  gpu: Gpu,
  members: Members,
  { clusters, draws, labels }: Pick<KmeansOptions, "clusters" | "draws"> & {
    readonly labels: GpuTensor;
  },
): Promise<GpuTensor> {
  const { heads, members: count, headDim, rows, scales } = members;
  checkLoops(gpu, count, seedPickLoops(count));
  const groups = Math.ceil(count / SEED_GROUP);
  const uniforms = { ...memberUniforms(members), clusters, groups };
  const picks = gpu.empty("u32", [heads, 1 + clusters], "kmeans.picks");
  const made = [
    gpu.tensor(draws, [heads, clusters], "kmeans.draws"),
    gpu.empty("f32", [heads, count], "kmeans.distances"),
    gpu.empty("f32", [heads, groups], "kmeans.sums"),
  ];
  const [drawn, distances, sums] = made;
  let program: Program | undefined;
  try {
    program = await Program.create(gpu, "kmeans.seed", {
      dispatches: [{
        source: kmeansSeedDistancesKernel({
          format: rowFormat("f32", headDim),
        }),
        uniforms,
        grid: foldGrid(heads * groups, gpu.limits),
      }, {
        source: kmeansSeedPickKernel(),
        uniforms,
        grid: foldGrid(Math.ceil(heads / SEED_PICK_LANES), gpu.limits),
      }],
    });
    const own = { rows, scales, draws: drawn, picks, distances, sums, labels };
    // The last step labels by the last seed, and draws none.
    for (let first = 0; first <= clusters; first += SEEDS_A_SUBMIT) {
      const steps = Math.min(SEEDS_A_SUBMIT, clusters + 1 - first);
      gpu.submit("kmeans.seed", (encoder) => {
        for (let i = 0; i < steps; i++) program!.encode(encoder, own);
      });
    }
    return picks;
  } catch (error) {
    picks.destroy();
    throw error;
  } finally {
    program?.destroy();
    for (const tensor of made) tensor.destroy();
  }
}

/** Means and nearest ones by turns, until no mean moves. */
async function iterate(
  gpu: Gpu,
  members: Members,
  { clusters, iterations, tensors, signal }: KmeansOptions & {
    readonly tensors: Record<"moved" | "labels", GpuTensor>;
  },
): Promise<Pick<Grouping, "iterations" | "converged">> {
  const { rows, scales, heads, members: count } = members;
  const best = gpu.empty("f32", [heads, count], "kmeans.best");
  let program: Program | undefined;
  try {
    program = await Program.create(gpu, "kmeans", {
      dispatches: [
        updateDispatch(gpu, members, { clusters, of: "directions" }),
        ...assignDispatches(gpu, members, clusters),
      ],
    });
    const own = { rows, scales, best, ...tensors };
    let done = 0;
    while (done < iterations) {
      const steps = Math.min(ITERATIONS_A_LOOK, iterations - done);
      gpu.submit("kmeans", (encoder) => {
        for (let i = 0; i < steps; i++) program!.encode(encoder, own);
      });
      done += steps;
      const moved = await gpu.readOne(tensors.moved, signal ? { signal } : {});
      if (moved.every((word) => word === 0)) {
        return { iterations: done, converged: true };
      }
    }
    return { iterations: done, converged: false };
  } finally {
    program?.destroy();
    best.destroy();
  }
}

/**
 * A look-up of a context's clusters on the device: which keys queries keep.
 *
 * @module
 */

import { type Gpu, type GpuTensor, Program } from "../../gpu/mod.ts";
import { DeviceBlockMask } from "../../ops/mod.ts";
import {
  checkSameSizes,
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./clusters.ts";
import { lookupParts, type LookupProblem } from "./lookup.ts";

/** Queries of a mask that is for however many. */
const MANY_QUERIES = 2 ** 30;

/**
 * A mask of single keys with one row of bits for all queries: what is looked up
 * is kept by all of them.
 */
export function keyMask(
  gpu: Gpu,
  { queries = MANY_QUERIES, ...of }: {
    readonly batch?: number;
    readonly heads?: number;
    readonly queries?: number;
    readonly keys: number;
  },
): Promise<DeviceBlockMask> {
  const queryBlock = queries;
  return DeviceBlockMask.create(gpu, {
    ...of,
    queries,
    queryBlock,
    keyBlock: 1,
  });
}

/** What a look-up reads, and what it writes besides means. */
export interface LookupTensors {
  readonly query: GpuTensor;
  readonly clusters: SqueezedClusters;
  /** `[kvHeads, words]`, u32: a bit for each key; where nothing is gathered. */
  readonly bits?: GpuTensor;
  /** `[kvHeads, keys]`, u32: rows of kept keys, then of others. */
  readonly keyTable?: GpuTensor;
  /** `[kvHeads]`, u32: how many are kept. */
  readonly keyCounts?: GpuTensor;
  /** `[kvHeads, words]`, u32: a bit for each place of the table in use. */
  readonly keyPlaces?: GpuTensor;
}

/** The means of clusters, and a bit for each key; all on the device. */
export class SqueezedLookup {
  /** `[kvHeads, clusters]`, f32; 0 where one was not looked at. */
  readonly means: GpuTensor;
  /** `[kvHeads, coarse clusters]`, f32, where there are two levels. */
  readonly coarseMeans: GpuTensor | undefined;
  readonly #gpu: Gpu;
  readonly #program: Program;
  readonly #sizes: ClusterSizes;

  private constructor(gpu: Gpu, program: Program, problem: LookupProblem) {
    this.#sizes = problem.sizes;
    const { kvHeads, clusters, coarse } = problem.sizes;
    this.#gpu = gpu;
    this.#program = program;
    this.means = gpu.empty("f32", [kvHeads, clusters], "squeezed.means");
    this.coarseMeans = coarse > 0
      ? gpu.empty("f32", [kvHeads, coarse], "squeezed.coarse_means")
      : undefined;
  }

  /**
   * Compiles and sizes a look-up.
   *
   * @throws {UnsupportedError} where the adapter would end its loops
   */
  static async create(
    gpu: Gpu,
    problem: LookupProblem,
  ): Promise<SqueezedLookup> {
    const parts = lookupParts(gpu, problem);
    const program = await Program.create(gpu, "squeezed.lookup", parts);
    return new SqueezedLookup(gpu, program, problem);
  }

  /** Takes other numbers of queries and keys; clusters stay as many. */
  update(problem: LookupProblem): void {
    this.#program.update(lookupParts(this.#gpu, problem));
  }

  /**
   * Records it.
   *
   * @throws {TypeError} if clusters have other sizes than those that it was made
   * for, as those of a context have that has grown since
   */
  encode(
    encoder: GPUCommandEncoder,
    { query, clusters, bits, keyTable, keyCounts, keyPlaces }: LookupTensors,
  ): void {
    checkSameSizes(clusterSizes(this.#gpu, clusters), this.#sizes);
    const { coarse } = clusters;
    this.#program.encode(encoder, {
      query,
      centroids: clusters.centroids,
      counts: clusters.counts,
      labels: clusters.labels,
      means: this.means,
      bits,
      key_table: keyTable,
      key_counts: keyCounts,
      key_places: keyPlaces,
      ...(coarse && {
        coarse_centroids: coarse.centroids,
        coarse_counts: coarse.counts,
        coarse_labels: coarse.labels,
        coarse_means: this.coarseMeans,
      }),
    });
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.#program.destroy();
    this.means.destroy();
    this.coarseMeans?.destroy();
  }
}

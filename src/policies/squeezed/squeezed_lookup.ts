/**
 * A look-up of a context's clusters on the device: which keys queries keep.
 *
 * @module
 */

import { type Gpu, type GpuTensor, Program } from "../../gpu/mod.ts";
import type { SqueezedClusters } from "./clusters.ts";
import { lookupParts, type LookupProblem } from "./lookup.ts";

/** The means of clusters, and a bit for each key; all on the device. */
export class SqueezedLookup {
  /** `[kvHeads, clusters]`, f32; 0 where one was not looked at. */
  readonly means: GpuTensor;
  /** `[kvHeads, coarse clusters]`, f32, where there are two levels. */
  readonly coarseMeans: GpuTensor | undefined;
  readonly #gpu: Gpu;
  readonly #program: Program;

  private constructor(gpu: Gpu, program: Program, problem: LookupProblem) {
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
   * @param bits `[kvHeads, words]`, u32: what it writes.
   */
  encode(
    encoder: GPUCommandEncoder,
    { query, clusters, bits }: {
      readonly query: GpuTensor;
      readonly clusters: SqueezedClusters;
      readonly bits: GpuTensor;
    },
  ): void {
    const { coarse } = clusters;
    this.#program.encode(encoder, {
      query,
      centroids: clusters.centroids,
      counts: clusters.counts,
      labels: clusters.labels,
      means: this.means,
      bits,
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

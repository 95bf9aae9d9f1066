/**
 * Projections of rows and their gradients, in one call.
 *
 * @module
 */

import type { Gpu, GpuTensor, HostTensor } from "../../gpu/mod.ts";
import {
  PROJECTION_OPS,
  type ProjectionBackwardOptions,
  type ProjectionGradients,
  type ProjectionOptions,
} from "./ops/projection.ts";
import { runLayer } from "./run.ts";

/**
 * Rows times a matrix, and a bias: `y = scale x W^T + b`, a linear layer. Rows and
 * weights may be of different types; sums are in float32.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { project } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await project(gpu, {
 *   input: { data: Float32Array.of(1, 2), shape: [1, 2] },
 *   weight: { data: Float32Array.of(3, 4, 5, 6, 7, 8), shape: [3, 2] },
 * });
 * console.log(data); // 11 17 23
 * ```
 *
 * @category Layers
 */
export async function project<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: ProjectionOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, PROJECTION_OPS.project, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradients of {@linkcode project}: by rows, weight and bias.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { projectBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { weightGradient } = await projectBackward(gpu, {
 *   input: { data: Float32Array.of(1, 2), shape: [1, 2] },
 *   weight: { data: Float32Array.of(3, 4), shape: [1, 2] },
 *   outputGradient: { data: Float32Array.of(10), shape: [1, 1] },
 * });
 * console.log(weightGradient.data); // 10 20
 * ```
 *
 * @category Layers
 */
export async function projectBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: Omit<ProjectionBackwardOptions<T>, "frozen">,
): Promise<ProjectionGradients<T>> {
  const op = PROJECTION_OPS.projectBackward;
  const gradients = await runLayer(gpu, op, { options, first: "input" });
  return gradients as unknown as ProjectionGradients<T>;
}

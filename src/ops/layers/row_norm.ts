/**
 * RMSNorm and l2 normalisation of rows, and their gradients, in one call.
 *
 * @module
 */

import type { Gpu, GpuTensor, HostTensor } from "../../gpu/mod.ts";
import {
  type L2NormalizeBackwardOptions,
  type L2NormalizeOptions,
  type RmsNormBackwardOptions,
  type RmsNormGradients,
  type RmsNormOptions,
  ROW_NORM_OPS,
} from "./ops/row_norm.ts";
import { runLayer } from "./run.ts";

/**
 * RMSNorm of rows (Zhang and Sennrich 2019): each divided by the root of its
 * mean square, times a weight. Squares are summed in float32: elements of 1e19
 * and above are too large.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for an eps that is not above 0, and rows of more than
 * 2,048,000 elements
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { rmsNorm } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await rmsNorm(gpu, {
 *   input: { data: Float32Array.of(3, 4), shape: [1, 2] },
 *   weight: { data: Float32Array.of(1, 10), shape: [2] },
 * });
 * console.log(data); // 3 / sqrt(12.5), 40 / sqrt(12.5)
 * ```
 *
 * @category Layers
 */
export async function rmsNorm<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: RmsNormOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, ROW_NORM_OPS.rmsNorm, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradients of {@linkcode rmsNorm}.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for an eps that is not above 0, and rows of more than
 * 2,048,000 elements
 *
 * @example The gradient of a weight
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { rmsNormBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const row = (...data: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape: [1, 2],
 * });
 * const { weightGradient } = await rmsNormBackward(gpu, {
 *   input: row(3, 4),
 *   weight: { data: Float32Array.of(1, 1), shape: [2] },
 *   outputGradient: row(1, 1),
 * });
 * console.log(weightGradient.data); // 3 / sqrt(12.5), 4 / sqrt(12.5)
 * ```
 *
 * @category Layers
 */
export async function rmsNormBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: RmsNormBackwardOptions<T>,
): Promise<RmsNormGradients<T>> {
  const gradients = await runLayer(gpu, ROW_NORM_OPS.rmsNormBackward, {
    options,
    first: "input",
  });
  return gradients as unknown as RmsNormGradients<T>;
}

/**
 * Rows divided by their length, as the delta rule wants its queries and keys.
 * Squares are summed in float32: elements of 1e19 and above are too large.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for an eps that is not above 0, and rows of more than
 * 2,048,000 elements
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { l2Normalize } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await l2Normalize(gpu, {
 *   input: { data: Float32Array.of(3, 4), shape: [1, 2] },
 * });
 * console.log(data); // 0.6 0.8
 * ```
 *
 * @category Layers
 */
export async function l2Normalize<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: L2NormalizeOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, ROW_NORM_OPS.l2Normalize, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradient of {@linkcode l2Normalize} by its input.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for an eps that is not above 0, and rows of more than
 * 2,048,000 elements
 *
 * @example Along the row there is none
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { l2NormalizeBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const row = (...data: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape: [1, 2],
 * });
 * const { data } = await l2NormalizeBackward(gpu, {
 *   input: row(3, 4),
 *   outputGradient: row(3, 4),
 * });
 * console.log(data); // next to 0 0
 * ```
 *
 * @category Layers
 */
export async function l2NormalizeBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: L2NormalizeBackwardOptions<T>,
): Promise<T> {
  const { inputGradient } = await runLayer(
    gpu,
    ROW_NORM_OPS.l2NormalizeBackward,
    { options, first: "input" },
  );
  return inputGradient as T;
}

/**
 * Cross entropy and its gradient, in one call.
 *
 * @module
 */

import type { Gpu, GpuTensor, HostTensor } from "../../gpu/mod.ts";
import {
  CROSS_ENTROPY_OPS,
  type CrossEntropyBackwardOptions,
  type CrossEntropyOptions,
  type CrossEntropyResult,
} from "./ops/cross_entropy.ts";
import { runLayer } from "./run.ts";

/**
 * The cross entropy of rows of logits with a column each, over rows that count,
 * each with a weight.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for a target on the host that is no column, and more than
 * 4,160,000 rows or four times as many columns
 *
 * @example The second row does not count
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { crossEntropy, NO_TARGET } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { loss } = await crossEntropy(gpu, {
 *   logits: { data: Float32Array.of(0, 0, 1, 2), shape: [2, 2] },
 *   targets: { data: Uint32Array.of(1, NO_TARGET), shape: [2] },
 * });
 * console.log(loss.data); // log(2)
 * ```
 *
 * @category Layers
 */
export async function crossEntropy<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: CrossEntropyOptions<T>,
): Promise<CrossEntropyResult<T>> {
  const result = await runLayer(gpu, CROSS_ENTROPY_OPS.crossEntropy, {
    options,
    first: "logits",
  });
  return result as unknown as CrossEntropyResult<T>;
}

/**
 * The gradient of {@linkcode crossEntropy} by its logits.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for a target on the host that is no column, and more than
 * 4,160,000 rows or four times as many columns
 *
 * @example The gradients of a row sum to 0
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { crossEntropy, crossEntropyBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const options = {
 *   logits: { data: Float32Array.of(0, 0), shape: [1, 2] },
 *   targets: { data: Uint32Array.of(1), shape: [1] },
 * };
 * const { lse } = await crossEntropy(gpu, options);
 * const { data } = await crossEntropyBackward(gpu, { ...options, lse });
 * console.log(data); // 0.5 -0.5
 * ```
 *
 * @category Layers
 */
export async function crossEntropyBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: CrossEntropyBackwardOptions<T>,
): Promise<T> {
  const { logitsGradient } = await runLayer(
    gpu,
    CROSS_ENTROPY_OPS.crossEntropyBackward,
    { options, first: "logits" },
  );
  return logitsGradient as T;
}

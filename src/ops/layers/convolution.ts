/**
 * Short convolutions and their gradients, in one call.
 *
 * @module
 */

import type { Gpu, GpuTensor, HostTensor } from "../../gpu/mod.ts";
import {
  CONVOLUTION_OPS,
  type ConvolutionBackwardOptions,
  type ConvolutionGradients,
  type ConvolutionOptions,
  type ConvolutionResult,
} from "./ops/convolution.ts";
import { runLayer } from "./run.ts";

/**
 * A causal depthwise convolution over the last few inputs of each channel, as
 * linear attention puts before its queries, keys and values. Sequences of one
 * call know nothing of each other; what one leaves behind, the next call may
 * begin with.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for a kernel size that is not in 2..8, and `cuSeqlens`
 * that do not rise from 0 to the number of tokens
 *
 * @example Each token and the one before it
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { shortConvolution } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { output, finalState } = await shortConvolution(gpu, {
 *   input: { data: Float32Array.of(1, 2, 3), shape: [1, 3, 1] },
 *   weight: { data: Float32Array.of(10, 1), shape: [1, 2] },
 *   returnState: true,
 * });
 * console.log(output.data, finalState!.data); // 1 12 23, and 3
 * ```
 *
 * @category Layers
 */
export async function shortConvolution<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: ConvolutionOptions<T>,
): Promise<ConvolutionResult<T>> {
  const result = await runLayer(gpu, CONVOLUTION_OPS.shortConvolution, {
    options,
    first: "input",
  });
  return result as unknown as ConvolutionResult<T>;
}

/**
 * The gradients of {@linkcode shortConvolution}, from its options.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} as the convolution does
 *
 * @example The gradient of the taps
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { shortConvolutionBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { weightGradient } = await shortConvolutionBackward(gpu, {
 *   input: { data: Float32Array.of(1, 2, 3), shape: [1, 3, 1] },
 *   weight: { data: Float32Array.of(10, 1), shape: [1, 2] },
 *   outputGradient: { data: Float32Array.of(1, 1, 1), shape: [1, 3, 1] },
 * });
 * console.log(weightGradient.data); // 3 6
 * ```
 *
 * @category Layers
 */
export async function shortConvolutionBackward<
  T extends GpuTensor | HostTensor,
>(
  gpu: Gpu,
  options: ConvolutionBackwardOptions<T>,
): Promise<ConvolutionGradients<T>> {
  const op = CONVOLUTION_OPS.shortConvolutionBackward;
  const gradients = await runLayer(gpu, op, { options, first: "input" });
  return gradients as unknown as ConvolutionGradients<T>;
}

/**
 * Gates: functions of single elements, and their gradients, in one call.
 *
 * @module
 */

import type { Gpu, GpuTensor, HostTensor } from "../../gpu/mod.ts";
import {
  type LogGateBackwardOptions,
  type LogGateOptions,
  POINTWISE_OPS,
  type SigmoidBackwardOptions,
  type SigmoidOptions,
  type SwishGateBackwardOptions,
  type SwishGateGradients,
  type SwishGateOptions,
} from "./ops/pointwise.ts";
import { runLayer } from "./run.ts";

/**
 * The logistic function of each element: the delta rule's beta, for one.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example Half
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { sigmoid } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await sigmoid(gpu, {
 *   input: { data: Float32Array.of(0), shape: [1] },
 * });
 * console.log(data); // 0.5
 * ```
 *
 * @category Layers
 */
export async function sigmoid<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: SigmoidOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, POINTWISE_OPS.sigmoid, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradient of {@linkcode sigmoid} by its input.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example A quarter
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { sigmoidBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await sigmoidBackward(gpu, {
 *   input: { data: Float32Array.of(0), shape: [1] },
 *   outputGradient: { data: Float32Array.of(1), shape: [1] },
 * });
 * console.log(data); // 0.25
 * ```
 *
 * @category Layers
 */
export async function sigmoidBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: SigmoidBackwardOptions<T>,
): Promise<T> {
  const { inputGradient } = await runLayer(gpu, POINTWISE_OPS.sigmoidBackward, {
    options,
    first: "input",
  });
  return inputGradient as T;
}

/**
 * Log gates from a projection: `log(sigmoid(x)) / normalizer`, in f32 whatever
 * the input's type is. They are 0 or below, as `linearAttention()` takes them, and
 * right to the last bits for inputs far from 0 too (Gated Linear Attention, Yang
 * et al. 2024, section 4.4).
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example A gate that halves
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { logGate } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await logGate(gpu, {
 *   input: { data: Float32Array.of(0), shape: [1] },
 *   normalizer: 1,
 * });
 * console.log(data); // log(0.5)
 * ```
 *
 * @category Layers
 */
export async function logGate<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: LogGateOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, POINTWISE_OPS.logGate, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradient of {@linkcode logGate} by its input.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example Of a gate that halves
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { logGateBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await logGateBackward(gpu, {
 *   input: { data: Float32Array.of(0), shape: [1] },
 *   outputGradient: { data: Float32Array.of(1), shape: [1] },
 *   normalizer: 1,
 * });
 * console.log(data); // 0.5
 * ```
 *
 * @category Layers
 */
export async function logGateBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: LogGateBackwardOptions<T>,
): Promise<T> {
  const { inputGradient } = await runLayer(gpu, POINTWISE_OPS.logGateBackward, {
    options,
    first: "input",
  });
  return inputGradient as T;
}

/**
 * `input * gate * sigmoid(gate)`, element by element: GLA's output gate, and what
 * a SwiGLU's two projections become (Shazeer 2020).
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example A gate of 0 lets nothing through
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { swishGate } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await swishGate(gpu, {
 *   input: { data: Float32Array.of(3, 3), shape: [2] },
 *   gate: { data: Float32Array.of(0, 40), shape: [2] },
 * });
 * console.log(data); // 0 120
 * ```
 *
 * @category Layers
 */
export async function swishGate<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: SwishGateOptions<T>,
): Promise<T> {
  const { output } = await runLayer(gpu, POINTWISE_OPS.swishGate, {
    options,
    first: "input",
  });
  return output as T;
}

/**
 * The gradients of {@linkcode swishGate}.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 *
 * @example At a gate of 0
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { swishGateBackward } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const of = (x: number) => ({ data: Float32Array.of(x), shape: [1] });
 * const { gateGradient } = await swishGateBackward(gpu, {
 *   input: of(3),
 *   gate: of(0),
 *   outputGradient: of(1),
 * });
 * console.log(gateGradient.data); // 1.5
 * ```
 *
 * @category Layers
 */
export async function swishGateBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: SwishGateBackwardOptions<T>,
): Promise<SwishGateGradients<T>> {
  const gradients = await runLayer(gpu, POINTWISE_OPS.swishGateBackward, {
    options,
    first: "input",
  });
  return gradients as unknown as SwishGateGradients<T>;
}

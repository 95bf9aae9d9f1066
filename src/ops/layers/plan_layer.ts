/**
 * Plans for ops of layers, by name.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu } from "../../gpu/mod.ts";
import type { LayerOp } from "./op.ts";
import {
  CONVOLUTION_OPS,
  type ConvolutionBackwardOptions,
  type ConvolutionOptions,
} from "./ops/convolution.ts";
import {
  CROSS_ENTROPY_OPS,
  type CrossEntropyBackwardOptions,
  type CrossEntropyOptions,
} from "./ops/cross_entropy.ts";
import {
  type LogGateBackwardOptions,
  type LogGateOptions,
  POINTWISE_OPS,
  type SigmoidBackwardOptions,
  type SigmoidOptions,
  type SwishGateBackwardOptions,
  type SwishGateOptions,
} from "./ops/pointwise.ts";
import {
  PROJECTION_OPS,
  type ProjectionBackwardOptions,
  type ProjectionOptions,
} from "./ops/projection.ts";
import {
  type L2NormalizeBackwardOptions,
  type L2NormalizeOptions,
  type RmsNormBackwardOptions,
  type RmsNormOptions,
  ROW_NORM_OPS,
} from "./ops/row_norm.ts";
import { LayerPlan } from "./plan.ts";

/**
 * The ops of layers, forward and backward, and what each of them takes; for a
 * plan, tensors may be shapes only, and those that have no choice may be left
 * out.
 *
 * @category Layers
 */
export interface LayerOptions {
  /** See `project()`. */
  readonly project: ProjectionOptions;
  /** See `projectBackward()`. */
  readonly projectBackward: ProjectionBackwardOptions;
  /** See `rmsNorm()`. */
  readonly rmsNorm: RmsNormOptions;
  /** See `rmsNormBackward()`. */
  readonly rmsNormBackward: RmsNormBackwardOptions;
  /** See `l2Normalize()`. */
  readonly l2Normalize: L2NormalizeOptions;
  /** See `l2NormalizeBackward()`. */
  readonly l2NormalizeBackward: L2NormalizeBackwardOptions;
  /** See `sigmoid()`. */
  readonly sigmoid: SigmoidOptions;
  /** See `sigmoidBackward()`. */
  readonly sigmoidBackward: SigmoidBackwardOptions;
  /** See `logGate()`. */
  readonly logGate: LogGateOptions;
  /** See `logGateBackward()`. */
  readonly logGateBackward: LogGateBackwardOptions;
  /** See `swishGate()`. */
  readonly swishGate: SwishGateOptions;
  /** See `swishGateBackward()`. */
  readonly swishGateBackward: SwishGateBackwardOptions;
  /** See `shortConvolution()`. */
  readonly shortConvolution: ConvolutionOptions;
  /** See `shortConvolutionBackward()`. */
  readonly shortConvolutionBackward: ConvolutionBackwardOptions;
  /** See `crossEntropy()`. */
  readonly crossEntropy: CrossEntropyOptions;
  /** See `crossEntropyBackward()`. */
  readonly crossEntropyBackward: CrossEntropyBackwardOptions;
}

const OPS: {
  readonly [Name in keyof LayerOptions]: LayerOp<LayerOptions[Name]>;
} = {
  ...PROJECTION_OPS,
  ...ROW_NORM_OPS,
  ...POINTWISE_OPS,
  ...CONVOLUTION_OPS,
  ...CROSS_ENTROPY_OPS,
};

/**
 * Makes a plan for an op of a layer: what the function of that name computes, to
 * be recorded as often as one likes.
 *
 * @throws {TypeError} for an unknown op, and wrong types, shapes and options
 * @throws {RangeError} for values out of range
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 *
 * @example Gradients that add up over several uses of a weight
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { planLayer } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * using plan = await planLayer(gpu, "rmsNormBackward", {
 *   input: { dtype: "f16", shape: [3, 8] },
 *   weight: { dtype: "f32", shape: [8] },
 *   accumulate: ["weightGradient"],
 * });
 * console.log(Object.keys(plan.tensors.written)); // inputGradient, weightGradient
 * ```
 *
 * @category Layers
 */
export async function planLayer<Name extends keyof LayerOptions>(
  gpu: Gpu,
  name: Name,
  options: LayerOptions[Name],
): Promise<LayerPlan<LayerOptions[Name]>> {
  checkType(
    Object.hasOwn(OPS, name),
    "name",
    `must be one of ${Object.keys(OPS).join(", ")}`,
    name,
  );
  const op = OPS[name] as unknown as LayerOp<LayerOptions[Name]>;
  return await LayerPlan.create(gpu, op, options);
}

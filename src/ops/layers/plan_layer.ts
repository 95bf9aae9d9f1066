/**
 * Plans for ops of layers, by name.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu } from "../../gpu/mod.ts";
import type { LayerOp } from "./op.ts";
import { CONVOLUTION_OPS } from "./ops/convolution.ts";
import { CROSS_ENTROPY_OPS } from "./ops/cross_entropy.ts";
import { POINTWISE_OPS } from "./ops/pointwise.ts";
import { PROJECTION_OPS } from "./ops/projection.ts";
import { ROW_NORM_OPS } from "./ops/row_norm.ts";
import { LayerPlan } from "./plan.ts";

type Ops =
  & typeof ROW_NORM_OPS
  & typeof PROJECTION_OPS
  & typeof POINTWISE_OPS
  & typeof CONVOLUTION_OPS
  & typeof CROSS_ENTROPY_OPS;

/**
 * The ops of layers, forward and backward.
 *
 * @category Layers
 */
export type LayerOpName = keyof Ops;

/**
 * What an op takes; for a plan, tensors may be shapes only, and those that have
 * no choice may be left out.
 *
 * @category Layers
 */
export type LayerOptions<Name extends LayerOpName> = Ops[Name] extends
  LayerOp<infer Options> ? Options : never;

const OPS: Ops = {
  ...ROW_NORM_OPS,
  ...PROJECTION_OPS,
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
export async function planLayer<Name extends LayerOpName>(
  gpu: Gpu,
  name: Name,
  options: LayerOptions<Name>,
): Promise<LayerPlan<LayerOptions<Name> & object>> {
  checkType(
    Object.hasOwn(OPS, name),
    "name",
    `must be one of ${Object.keys(OPS).join(", ")}`,
    name,
  );
  const op = OPS[name] as unknown as LayerOp<LayerOptions<Name> & object>;
  return await LayerPlan.create(
    gpu,
    op,
    options as LayerOptions<Name> & object,
  );
}

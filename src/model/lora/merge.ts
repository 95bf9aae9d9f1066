/**
 * A low-rank update as part of the weight, for inference.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { HostTensor } from "../../gpu/mod.ts";
import { checkLike, describeTensor } from "../../ops/tensors.ts";
import { loraScale, type LoraWeights } from "./problem.ts";

/**
 * A weight, and its update, on the host.
 *
 * @category Layers
 */
export interface MergeLoraOptions extends LoraWeights<HostTensor> {
  /** `[outFeatures, inFeatures]`, f32 or f16. */
  readonly weight: HostTensor;
  /** The update's factor, by the rank; 16 by default. */
  readonly alpha?: number;
}

/**
 * `W + (alpha / rank) B A`: the weight whose projection is the updated one, at
 * no cost at inference. Sums are in float64 and rounded once, to the weight's type.
 *
 * @throws {TypeError} for wrong types and shapes
 * @throws {RangeError} if `alpha` is not finite
 *
 * @example An update of rank one
 * ```ts
 * import { mergeLora } from "@quire/attention/model";
 *
 * const tensor = (data: number[], ...shape: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape,
 * });
 * const { data } = mergeLora({
 *   weight: tensor([1, 2, 3, 4], 2, 2),
 *   a: tensor([1, 10], 1, 2),
 *   b: tensor([1, 2], 2, 1),
 *   alpha: 1,
 * });
 * console.log(data); // 2 12 5 24
 * ```
 *
 * @category Layers
 */
export function mergeLora(options: MergeLoraOptions): HostTensor {
  return moved("mergeLora()", options, 1);
}

/**
 * What {@linkcode mergeLora} made a weight of, but for roundings: of an element,
 * half a unit in the last place of the merged one and of the result. Keep the
 * weight itself where it must come back bit for bit.
 *
 * @throws {TypeError} for wrong types and shapes
 * @throws {RangeError} if `alpha` is not finite
 *
 * @example Back again
 * ```ts
 * import { mergeLora, unmergeLora } from "@quire/attention/model";
 *
 * const tensor = (data: number[], ...shape: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape,
 * });
 * const update = { a: tensor([1, 10], 1, 2), b: tensor([1], 1, 1) };
 * const weight = tensor([1, 2], 1, 2);
 * const merged = mergeLora({ weight, ...update });
 * console.log(unmergeLora({ weight: merged, ...update }).data); // 1 2
 * ```
 *
 * @category Layers
 */
export function unmergeLora(options: MergeLoraOptions): HostTensor {
  return moved("unmergeLora()", options, -1);
}

/** The weight with the update so many times. */
function moved(
  owner: string,
  options: MergeLoraOptions,
  times: 1 | -1,
): HostTensor {
  checkOptions(owner, options, { known: ["weight", "a", "b", "alpha"] });
  const { weight, a, b, alpha = 16 } = options;
  for (const [name, tensor] of Object.entries({ weight, a, b })) {
    const { data } = Object(tensor) as Partial<HostTensor>;
    checkType(
      data instanceof Float32Array || data instanceof Float16Array,
      name,
      "must be a host tensor, { data, shape }, of f32 or f16",
      tensor,
    );
    const { shape } = describeTensor(name, tensor);
    checkType(
      shape.length === 2 && shape[0] > 0 && shape[1] > 0,
      `${name}.shape`,
      "must be that of a matrix",
      shape,
    );
  }
  const [outFeatures, inFeatures] = weight.shape;
  const [rank] = a.shape;
  const like = describeTensor("a", a);
  checkLike("a", a, { ...like, shape: [rank, inFeatures] });
  checkLike("b", b, { ...like, shape: [outFeatures, rank] });
  const scale = times * loraScale(alpha, rank);
  const data = weight.data.slice();
  for (let row = 0; row < outFeatures; row++) {
    for (let column = 0; column < inFeatures; column++) {
      let update = 0;
      for (let r = 0; r < rank; r++) {
        update += b.data[row * rank + r] * a.data[r * inFeatures + column];
      }
      data[row * inFeatures + column] += scale * update;
    }
  }
  return { data, shape: weight.shape };
}

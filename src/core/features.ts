/**
 * Feature maps of linear attention: how long phi(x) is.
 *
 * @module
 */

import { checkInteger, checkType } from "./check.ts";

/**
 * What stands in for the exponential of softmax. `taylor` is the Taylor series
 * of second order of BASED (Arora et al. 2024, section 3), with
 * `<phi(q), phi(k)> = 1 + s + s^2 / 2` and `s = <q, k> / sqrt(f)`:
 *
 * ```text
 * phi(x) = [1, x_i / f^(1/4), x_i^2 / sqrt(2 f), x_i x_j / sqrt(f) for i < j]
 * ```
 *
 * with f elements of a row: each product of two elements once, as x_i x_j and
 * x_j x_i are the same.
 *
 * @category Attention
 */
export type FeatureMap = "taylor";

/** All feature maps. */
export const FEATURE_MAPS: readonly FeatureMap[] = ["taylor"];

/**
 * D: elements of phi(x) for a row of so many elements; the row itself where
 * there is no feature map. `1 + f + f (f + 1) / 2` for `taylor`.
 *
 * @throws {TypeError} for a feature map that there is not, or a head dim that
 * is no number
 * @throws {RangeError} for a head dim that is no integer >= 1
 *
 * @example BASED's 16 elements
 * ```ts
 * import { featureDim } from "@quire/attention/planning";
 *
 * console.log(featureDim(16, "taylor"), featureDim(16)); // 153 16
 * ```
 *
 * @category Planning
 */
export function featureDim(headDim: number, map?: FeatureMap): number {
  checkInteger("headDim", headDim, 1);
  if (map === undefined) return headDim;
  checkType(
    FEATURE_MAPS.includes(map),
    "featureMap",
    `must be one of ${FEATURE_MAPS.join(", ")}`,
    map,
  );
  return 1 + headDim + headDim * (headDim + 1) / 2;
}

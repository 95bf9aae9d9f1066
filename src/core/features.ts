/**
 * Feature maps of linear attention: how long phi(x) is.
 *
 * @module
 */

import { checkInteger, checkType } from "./check.ts";

/**
 * What queries and keys become before they meet: themselves, or the features of
 * the exponential's Taylor series of second order (BASED, Arora et al. 2024,
 * section 3), with `<phi(q), phi(k)> = 1 + s + s^2 / 2` and `s = scale <q, k>`:
 *
 * ```text
 * phi(x) = [1, r x_j, then for each i: r^2 x_i^2 / sqrt(2), r^2 x_i x_j for j > i]
 * ```
 *
 * with `r = sqrt(scale)`: each product of two elements once, as x_i x_j and
 * x_j x_i are the same.
 *
 * @category Attention
 */
export type FeatureMap = "identity" | "taylor";

/** All feature maps. */
export const FEATURE_MAPS: readonly FeatureMap[] = ["identity", "taylor"];

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
export function featureDim(
  headDim: number,
  map: FeatureMap = "identity",
): number {
  checkInteger("headDim", headDim, 1);
  checkFeatureMap(map);
  if (map === "identity") return headDim;
  return 1 + headDim + headDim * (headDim + 1) / 2;
}

/**
 * Checks the name of a feature map.
 *
 * @throws {TypeError} for one that there is not
 */
export function checkFeatureMap(map: unknown): asserts map is FeatureMap {
  checkType(
    FEATURE_MAPS.includes(map as FeatureMap),
    "featureMap",
    'must be "identity" or "taylor"',
    map,
  );
}

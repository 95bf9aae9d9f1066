/**
 * Memory of a sequence: a state, whose size does not depend on its length,
 * against keys and values, whose size does.
 *
 * @module
 */

import { checkBoolean, checkInteger } from "../../core/check.ts";
import { bytesPerElement, type DType } from "../../core/dtype.ts";
import { featureDim, type FeatureMap } from "../../core/features.ts";
import { checkOptions } from "../../core/options.ts";

/**
 * What a sequence's state of one layer consists of.
 *
 * @category Planning
 */
export interface StateSizes {
  /** States: value heads; default 1. */
  readonly valueHeads?: number;
  /** d: elements of a query or key row. */
  readonly headDim: number;
  /** e: elements of a value row; default d. */
  readonly valueHeadDim?: number;
  /** Feature map; default none. */
  readonly featureMap?: FeatureMap;
  /**
   * D: elements of a feature row, where they are not those of `featureMap`:
   * 1 + f + f^2 where each product of two elements is kept twice.
   */
  readonly features?: number;
  /** Whether the sum of feature rows is kept too; default false. */
  readonly normalize?: boolean;
}

/**
 * What a token's keys and values of one layer consist of.
 *
 * @category Planning
 */
export interface KvSizes {
  /** Key and value heads; default 1. */
  readonly kvHeads?: number;
  /** d: elements of a key row. */
  readonly headDim: number;
  /** e: elements of a value row; default d. */
  readonly valueHeadDim?: number;
  /** Storage type; default f32. */
  readonly dtype?: DType;
}

/**
 * Bytes of a sequence's state, which is float32: `D e` elements a head, and D
 * more of the normaliser.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example BASED's, with each product of two elements once
 * ```ts
 * import { linearStateBytes } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = linearStateBytes({
 *   headDim: 16,
 *   valueHeadDim: 64,
 *   featureMap: "taylor",
 *   normalize: true,
 * });
 * assertEquals(bytes, 4 * 153 * 65);
 * ```
 *
 * @category Planning
 */
export function linearStateBytes(sizes: StateSizes): number {
  checkOptions("sizes", sizes, {
    known: [
      "valueHeads",
      "headDim",
      "valueHeadDim",
      "featureMap",
      "features",
      "normalize",
    ],
    hints: { heads: "write valueHeads" },
  });
  const { valueHeads = 1, headDim, valueHeadDim = headDim } = sizes;
  checkInteger("sizes.headDim", headDim, 1);
  const { features = featureDim(headDim, sizes.featureMap) } = sizes;
  checkInteger("sizes.valueHeads", valueHeads, 1);
  checkInteger("sizes.valueHeadDim", valueHeadDim, 1);
  checkInteger("sizes.features", features, 1);
  checkBoolean("sizes.normalize", sizes.normalize);
  const columns = valueHeadDim + (sizes.normalize ? 1 : 0);
  return bytesPerElement("f32") * valueHeads * features * columns;
}

/**
 * Bytes of the keys and values of so many tokens.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example They grow with every token
 * ```ts
 * import { kvBytes } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(kvBytes(1000, { headDim: 64 }), 1000 * 4 * 2 * 64);
 * ```
 *
 * @category Planning
 */
export function kvBytes(tokens: number, sizes: KvSizes): number {
  checkInteger("tokens", tokens, 0);
  checkOptions("sizes", sizes, {
    known: ["kvHeads", "headDim", "valueHeadDim", "dtype"],
    hints: { heads: "write kvHeads" },
  });
  const { kvHeads = 1, headDim, valueHeadDim = headDim, dtype = "f32" } = sizes;
  checkInteger("sizes.kvHeads", kvHeads, 1);
  checkInteger("sizes.headDim", headDim, 1);
  checkInteger("sizes.valueHeadDim", valueHeadDim, 1);
  return bytesPerElement(dtype) * tokens * kvHeads * (headDim + valueHeadDim);
}

/**
 * The least number of tokens whose keys and values take more bytes than the
 * state does.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example BASED beside softmax attention, heads of 64: 273 x 65 / (2 x 64)
 * ```ts
 * import { stateCrossover } from "@quire/attention/planning";
 *
 * const state = { headDim: 16, valueHeadDim: 64, normalize: true };
 * const kv = { headDim: 64 };
 * console.log(stateCrossover({ ...state, features: 273 }, kv)); // 139
 * console.log(stateCrossover({ ...state, featureMap: "taylor" }, kv)); // 78
 * ```
 *
 * @category Planning
 */
export function stateCrossover(state: StateSizes, kv: KvSizes): number {
  return Math.floor(linearStateBytes(state) / kvBytes(1, kv)) + 1;
}

/**
 * What attention must move at least (Saha and Ye 2024, "The I/O Complexity of
 * Attention").
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { type AttentionSizes, packedSizes } from "./sizes.ts";

/**
 * A lower bound of slow-memory traffic.
 *
 * @category Planning
 */
export interface TrafficBound {
  /** Whether fast memory holds a head dim squared: M >= d^2. */
  readonly regime: "large cache" | "small cache";
  /**
   * `N S d^2 / M` with a large cache, `N S d / sqrt(M)` with a small one: the
   * order that no schedule beats, with its constant left out. Both are `N S`
   * where `M = d^2`.
   */
  readonly order: number;
  /** Elements that any schedule moves: each input once, each output once. */
  readonly floor: number;
  /** The larger of both. */
  readonly elements: number;
}

/** What the bound depends on. */
export interface BoundTerms {
  /** (row, key) pairs, of all heads. */
  readonly pairs: number;
  /** d; the mean of both head dims where they differ. */
  readonly dim: number;
  /** Elements of inputs and outputs. */
  readonly floor: number;
  /** M: elements of fast memory. */
  readonly fastElements: number;
}

/** The bound of a problem that is already taken apart. */
export function boundOf(
  { pairs, dim, floor, fastElements }: BoundTerms,
): TrafficBound {
  const large = fastElements >= dim * dim;
  const order = large
    ? pairs * dim * dim / fastElements
    : pairs * dim / Math.sqrt(fastElements);
  return {
    regime: large ? "large cache" : "small cache",
    order,
    floor,
    elements: Math.max(order, floor),
  };
}

/**
 * The lower bound of a problem with every pair visited, on a fast memory of so
 * many elements. The paper has one head dim; where two differ, their mean
 * stands for both.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example The default workgroup memory of WebGPU, in float32, at two head dims
 * ```ts
 * import { trafficBound } from "@quire/attention/planning";
 *
 * const sizes = { queries: 4096, keys: 4096 };
 * const regime = (headDim: number) =>
 *   trafficBound({ ...sizes, headDim }, 16384 / 4).regime;
 * console.log(regime(64), regime(128)); // large cache small cache
 * ```
 *
 * @category Planning
 */
export function trafficBound(
  sizes: AttentionSizes,
  fastElements: number,
): TrafficBound {
  checkInteger("fastElements", fastElements, 1);
  const packed = packedSizes(sizes);
  const { rows, keys, headDim: d, valueHeadDim: e, lse } = packed;
  const heads = packed.batch * packed.kvHeads;
  const some = keys > 0 ? 1 : 0;
  const used = rows > 0 ? keys : 0;
  return boundOf({
    pairs: heads * rows * keys,
    dim: (d + e) / 2,
    floor: heads * (rows * (some * d + e + (lse ? 1 : 0)) + used * (d + e)),
    fastElements,
  });
}

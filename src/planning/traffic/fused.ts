/**
 * The cost of fused schedules, block-sparse ones too: tiles that are not visited
 * cost nothing.
 *
 * @module
 */

import { type ScheduleCost, trafficOf } from "./cost.ts";
import { type AttentionSizes, packedSizes } from "./sizes.ts";
import {
  checkTiles,
  type CostTiles,
  type RowSizes,
  rowSizes,
  type VisitSums,
  visitSums,
} from "./tiles.ts";

/**
 * FlashAttention-1 (Alg. 1): key tiles outside. Keys and values are read once,
 * queries once a key tile, and O, m and l are read and written, normalised, once
 * a key tile. With Tc key tiles, and R rows of each of H kv heads,
 *
 * ```text
 * H (S (d + e) + Tc (R (d + 2e) + 4R) + R (e + 2))
 * ```
 *
 * elements; the last term is line 2, which writes O = 0, l = 0, m = -Infinity.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example More than standard attention where the tile is small
 * ```ts
 * import {
 *   flash1Cost,
 *   standardCost,
 *   totalTraffic,
 * } from "@quire/attention/planning";
 *
 * const sizes = { queries: 4096, keys: 4096, headDim: 64 };
 * const fa1 = flash1Cost(sizes, { rows: 16, keys: 16 });
 * const ratio = totalTraffic(fa1.traffic) /
 *   totalTraffic(standardCost(sizes).traffic);
 * console.log(ratio.toFixed(2)); // 3.03
 * ```
 *
 * @category Planning
 */
export function flash1Cost(
  sizes: AttentionSizes,
  tiles: CostTiles,
): ScheduleCost {
  checkTiles(tiles);
  const packed = packedSizes(sizes);
  return flash1Of(visitSums(packed, tiles), rowSizes(packed));
}

/** The same, of visited tiles that are summed up already. */
export function flash1Of(
  { rows, pairs, seenKeys }: VisitSums,
  { allRows: all, headDim: d, valueHeadDim: e, lse }: RowSizes,
): ScheduleCost {
  return {
    traffic: trafficOf({
      query: [rows * d, 0],
      key: [seenKeys * d, 0],
      value: [seenKeys * e, 0],
      output: [rows * e, rows * e + all * e],
      // The log-sum-exp is m + ln l, from one more look at both.
      statistics: [2 * rows + (lse ? 2 * all : 0), 2 * rows + 2 * all],
      lse: [0, lse ? all : 0],
    }),
    flops: {
      matmul: 2 * pairs * (d + e),
      exp: pairs + rows,
      rescale: 3 * rows * e,
    },
  };
}

/**
 * FlashAttention-2 (Alg. 1): row tiles outside, as the fused kernels here go.
 * Queries are read and outputs written once, keys and values once a row tile:
 * with Tr row tiles, `H (R (d + e) + Tr S (d + e) + R)` elements.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example
 * ```ts
 * import { flash2Cost } from "@quire/attention/planning";
 *
 * const { traffic } = flash2Cost(
 *   { queries: 100, keys: 300, headDim: 64 },
 *   { rows: 64, keys: 16 },
 * );
 * console.log(traffic.key); // { reads: 38400, writes: 0 }
 * ```
 *
 * @category Planning
 */
export function flash2Cost(
  sizes: AttentionSizes,
  tiles: CostTiles,
): ScheduleCost {
  checkTiles(tiles);
  const packed = packedSizes(sizes);
  return flash2Of(visitSums(packed, tiles), rowSizes(packed));
}

/** The same, of visited tiles that are summed up already. */
export function flash2Of(
  { rows, keys, pairs, seeingRows }: VisitSums,
  { allRows: all, headDim: d, valueHeadDim: e, lse }: RowSizes,
): ScheduleCost {
  return {
    traffic: trafficOf({
      query: [seeingRows * d, 0],
      key: [keys * d, 0],
      value: [keys * e, 0],
      output: [0, all * e],
      lse: [0, lse ? all : 0],
    }),
    flops: {
      matmul: 2 * pairs * (d + e),
      exp: pairs + rows,
      rescale: rows * e + all * e,
    },
  };
}

/**
 * Elements of fast memory that a tile of either schedule holds at once: the
 * query rows and what is accumulated of them, with m and l; keys and values; and
 * scores. `Br (d + e + 2) + Bc (d + e) + Br Bc`.
 *
 * @example What a larger tile holds besides
 * ```ts
 * import { tileElements } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const held = (rows: number) =>
 *   tileElements({ headDim: 64 }, { rows, keys: 16 });
 * assertEquals(held(32) > held(16), true);
 * ```
 *
 * @category Planning
 */
export function tileElements(
  { headDim, valueHeadDim = headDim }: Pick<
    AttentionSizes,
    "headDim" | "valueHeadDim"
  >,
  { rows, keys }: Pick<CostTiles, "rows" | "keys">,
): number {
  const dims = headDim + valueHeadDim;
  return rows * (dims + 2) + keys * dims + rows * keys;
}

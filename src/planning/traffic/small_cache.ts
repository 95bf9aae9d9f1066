/**
 * The cost of attention in a cache smaller than a head dim squared (Saha and Ye
 * 2024, "The I/O Complexity of Attention"): both products as blocked matrix
 * multiplications, in square tiles of all three dimensions.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { type ScheduleCost, trafficOf } from "./cost.ts";
import { type AttentionSizes, packedSizes } from "./sizes.ts";

/**
 * Small-cache attention in tiles of `tile x tile`: S = Q K^T is written; one
 * streaming pass over it finds m and l of each row; O = P V reads it again, once
 * a tile of value columns, and forms P on the way.
 *
 * ```text
 * Q: R d ceil(S / b)    K: S d ceil(R / b)    V: S e ceil(R / b)    O: R e
 * S: written once, read 1 + ceil(e / b) times    m, l: written once, read as S
 * ```
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example Below FlashAttention-1 where the cache is small
 * ```ts
 * import {
 *   flash1Cost,
 *   smallCacheCost,
 *   smallCacheTile,
 *   totalTraffic,
 * } from "@quire/attention/planning";
 *
 * const sizes = { queries: 4096, keys: 4096, headDim: 128 };
 * const cache = 4096; // float32 elements: 16 KiB
 * const fa1 = flash1Cost(sizes, { rows: 8, keys: 8 });
 * const small = smallCacheCost(sizes, smallCacheTile(cache));
 * const ratio = totalTraffic(fa1.traffic) / totalTraffic(small.traffic);
 * console.log(ratio.toFixed(1)); // 2.9
 * ```
 *
 * @category Planning
 */
export function smallCacheCost(
  sizes: AttentionSizes,
  tile: number,
): ScheduleCost {
  checkInteger("tile", tile, 1);
  const packed = packedSizes(sizes);
  const { rows, keys, headDim: d, valueHeadDim: e, lse } = packed;
  const heads = packed.batch * packed.kvHeads;
  const rowTiles = Math.ceil(rows / tile);
  const keyTiles = Math.ceil(keys / tile);
  const columnTiles = Math.ceil(e / tile);
  const all = heads * rows;
  const pairs = all * keys;
  return {
    traffic: trafficOf({
      query: [all * d * keyTiles, 0],
      key: [heads * keys * d * rowTiles, 0],
      value: [heads * keys * e * rowTiles, 0],
      output: [0, all * e],
      lse: [0, lse ? all : 0],
      scores: [pairs * (1 + columnTiles), pairs],
      statistics: [2 * all * columnTiles, 2 * all],
    }),
    flops: {
      matmul: 2 * pairs * (d + e),
      exp: pairs * (1 + columnTiles) + all * keyTiles,
      rescale: all * keyTiles + all * e,
    },
  };
}

/**
 * Elements of fast memory that it holds at once: tiles of both operands and of
 * the result, with m and l of the rows.
 *
 * @example Tiles of 4 x 4
 * ```ts
 * import { smallCacheElements } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(smallCacheElements(4), 3 * 16 + 8);
 * ```
 *
 * @category Planning
 */
export function smallCacheElements(tile: number): number {
  return 3 * tile * tile + 2 * tile;
}

/**
 * The largest tile for a cache of so many elements, near `sqrt(M / 3)`.
 *
 * @throws {RangeError} if not even a tile of one element fits: M < 5
 *
 * @example The largest that fits
 * ```ts
 * import { smallCacheTile } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(smallCacheTile(56), 4);
 * assertEquals(smallCacheTile(55), 3);
 * ```
 *
 * @category Planning
 */
export function smallCacheTile(elements: number): number {
  checkInteger("elements", elements, smallCacheElements(1));
  let tile = Math.floor(Math.sqrt(elements / 3));
  while (smallCacheElements(tile) > elements) tile--;
  return tile;
}

/**
 * Blocks of positions.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * Positions in the same block of `size`. A query that comes before every key
 * (a negative position) sees none.
 *
 * @throws {RangeError} If `size` is not an integer >= 1.
 *
 * @example Blocks of two
 * ```ts
 * import { blockDiagonal } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = blockDiagonal(2);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // ··██··
 * // ··██··
 * // ····██
 * // ····██
 * ```
 *
 * @category Masks and scores
 */
export function blockDiagonal(size: number): MaskMod {
  checkInteger("size", size, 1, MAX);
  return maskMod("blockDiagonal", ({ query, key }) => {
    const length = int(size);
    return query.ge(0).and(query.div(length).eq(key.div(length)));
  });
}

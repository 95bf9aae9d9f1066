/**
 * Masks in other coordinates: of blocks, within blocks, in another order.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { Bool, type Int, int } from "../expression.ts";
import { movedTree } from "../captures/moved_tree.ts";
import { type MaskMod, maskMod, type MaskVariables } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * Where a mask looks instead of at the query's and the key's positions.
 *
 * @category Masks and scores
 */
export interface RemappedPositions {
  /** The query's. */
  readonly query: Int;
  /** The key's. */
  readonly key: Int;
}

/**
 * `mask` at other positions: what it asks of `query` and `key` is answered by
 * what `positions` makes of them.
 *
 * What the mask captures a row or a column of is no longer held against the
 * problem's size, as its positions are others now.
 *
 * @throws {TypeError} If `mask` is not a mask, or reads the query's row, which
 * stays what it is: give such a mask `queryOffset`.
 *
 * @example A causal mask for tokens in reverse order
 * ```ts
 * import { causal, drawMask, remap } from "@quire/attention/mods";
 *
 * const mask = remap(causal(), ({ query, key }) => ({
 *   query: query.neg(),
 *   key: key.neg(),
 * }));
 * const pairs = { keys: 4, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ████
 * // ·███
 * // ··██
 * // ···█
 * ```
 *
 * @category Masks and scores
 */
export function remap(
  mask: MaskMod,
  positions: (variables: MaskVariables) => RemappedPositions,
): MaskMod {
  checkMask("remap()", mask);
  return maskMod(
    `remap(${mask.name})`,
    (variables) => maskAt(mask, positions(variables)),
  );
}

/**
 * `mask` within each block of `size` positions, counted from the block's own
 * first one; other blocks are not seen. A query that comes before every key
 * (a negative position) sees none.
 *
 * @throws {TypeError} If `mask` is not a mask, or reads the query's row.
 * @throws {RangeError} If `size` is not an integer >= 1.
 *
 * @example Causal within blocks of three
 * ```ts
 * import { causal, drawMask, withinBlocks } from "@quire/attention/mods";
 *
 * const mask = withinBlocks(causal(), 3);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·····
 * // ██····
 * // ███···
 * // ···█··
 * // ···██·
 * // ···███
 * ```
 *
 * @category Masks and scores
 */
export function withinBlocks(mask: MaskMod, size: number): MaskMod {
  checkMask("withinBlocks()", mask);
  checkInteger("size", size, 1, MAX);
  return maskMod(`withinBlocks(${mask.name})`, ({ query, key }) => {
    const length = int(size);
    const inner = maskAt(mask, {
      query: query.rem(length),
      key: key.rem(length),
    });
    return query.ge(0).and(query.div(length).eq(key.div(length))).and(inner);
  });
}

/**
 * `mask` of whole blocks: its positions count blocks of `size` tokens, which
 * are seen or hidden as one. A query that comes before every key sees none.
 *
 * @throws {TypeError} If `mask` is not a mask, or reads the query's row.
 * @throws {RangeError} If `size` is not an integer >= 1.
 *
 * @example Blocks of two see the blocks up to their own
 * ```ts
 * import { blockwise, causal, drawMask } from "@quire/attention/mods";
 *
 * const mask = blockwise(causal(), 2);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // ████··
 * // ████··
 * // ██████
 * // ██████
 * ```
 *
 * @category Masks and scores
 */
export function blockwise(mask: MaskMod, size: number): MaskMod {
  checkMask("blockwise()", mask);
  checkInteger("size", size, 1, MAX);
  return maskMod(`blockwise(${mask.name})`, ({ query, key }) => {
    const length = int(size);
    const inner = maskAt(mask, {
      query: query.div(length),
      key: key.div(length),
    });
    return query.ge(0).and(inner);
  });
}

/** A mask's expression with other positions. */
export function maskAt(
  mask: MaskMod,
  { query, key }: RemappedPositions,
): Bool {
  return new Bool(movedTree(mask, { query: query.node, key: key.node }));
}

/** Throws unless `mask` is one. */
export function checkMask(owner: string, mask: unknown): void {
  const kind = (mask as Partial<MaskMod> | undefined)?.kind;
  checkType(kind === "mask", owner, "must be given a mask", mask);
}

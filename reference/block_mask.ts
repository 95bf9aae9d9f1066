/**
 * Which tiles of a mask are empty, full or mixed, found by asking about every
 * single pair. Slow and obviously right; a faster way is held against it.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import type { MaskFunction } from "./problem.ts";

/**
 * Whether none, all or some of a tile's pairs are seen.
 *
 * @category Reference
 */
export type TileKind = "none" | "all" | "some";

/**
 * A mask, where to evaluate it, and the tiles to cut it into.
 *
 * @category Reference
 */
export interface BlockMaskProblem {
  /** Which keys a query (given by its position) sees. */
  mask: MaskFunction;
  /** Batch entry to evaluate for; default 0. */
  batch?: number | undefined;
  /** Query head to evaluate for; default 0. */
  head?: number | undefined;
  /** Queries. */
  queryLength: number;
  /** Keys, as written. */
  keyLength: number;
  /** Position of query 0; default `keyLength - queryLength`. */
  queryOffset?: number | undefined;
  /** Queries in one tile. */
  rows: number;
  /** Keys in one tile. */
  keys: number;
}

/**
 * The kind of every tile. A tile at the end is judged by the pairs it has.
 *
 * @param problem Mask, lengths and tile sizes.
 * @returns `[queryTile][keyTile]`.
 * @throws {TypeError} if a size is not a number.
 * @throws {RangeError} if a size is out of range.
 *
 * @example Four tiles of a causal mask
 * ```ts
 * import { blockMask } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const kinds = blockMask({
 *   mask: (_batch, _head, query, key) => key <= query,
 *   queryLength: 4,
 *   keyLength: 4,
 *   rows: 2,
 *   keys: 2,
 * });
 * assertEquals(kinds, [["some", "none"], ["all", "some"]]);
 * ```
 *
 * @category Reference
 */
export function blockMask(problem: BlockMaskProblem): TileKind[][] {
  const { queryLength, keyLength, rows, keys } = problem;
  checkInteger("queryLength", queryLength, 0);
  checkInteger("keyLength", keyLength, 0);
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
  const kinds: TileKind[][] = [];
  for (let i = 0; i < queryLength; i += rows) {
    const row: TileKind[] = [];
    for (let j = 0; j < keyLength; j += keys) {
      const endQuery = Math.min(i + rows, queryLength);
      const endKey = Math.min(j + keys, keyLength);
      row.push(kindOf(problem, [i, endQuery], [j, endKey]));
    }
    kinds.push(row);
  }
  return kinds;
}

function kindOf(
  problem: BlockMaskProblem,
  [firstQuery, endQuery]: [number, number],
  [firstKey, endKey]: [number, number],
): TileKind {
  const { mask, batch = 0, head = 0, queryLength, keyLength } = problem;
  const { queryOffset = keyLength - queryLength } = problem;
  let seen = 0;
  for (let i = firstQuery; i < endQuery; i++) {
    for (let j = firstKey; j < endKey; j++) {
      if (mask(batch, head, i + queryOffset, j)) seen++;
    }
  }
  if (seen === 0) return "none";
  const pairs = (endQuery - firstQuery) * (endKey - firstKey);
  return seen === pairs ? "all" : "some";
}

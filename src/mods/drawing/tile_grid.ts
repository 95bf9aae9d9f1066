/**
 * The tiles of a mask, row by row: which are empty, full or mixed.
 *
 * @module
 */

import { maskRuns } from "../block_mask/runs.ts";
import type { MaskMod } from "../trace.ts";

/**
 * What a mask leaves of a tile: nothing, everything, or some of it.
 *
 * @category Tiles
 */
export type TileKind = "empty" | "full" | "mixed";

/** The part of a mask that is looked at, and its tiles. */
export interface TileGridOptions {
  /** Index in the batch. */
  readonly batch: number;
  /** Query head. */
  readonly head: number;
  /** Queries. */
  readonly queries: number;
  /** Keys. */
  readonly keys: number;
  /** Position of query 0 in the keys' coordinate. */
  readonly queryOffset: number;
  /** Queries of a tile. */
  readonly tileQueries: number;
  /** Keys of a tile. */
  readonly tileKeys: number;
}

/** The kind of every tile, `[row tiles][key tiles]`, by the interval reading. */
export function tileGrid(
  masks: readonly MaskMod[],
  options: TileGridOptions,
): TileKind[][] {
  const { batch, head, queries, keys, queryOffset, tileKeys } = options;
  const columns = Math.ceil(keys / tileKeys);
  const rows: TileKind[][] = [];
  for (let start = 0; start < queries; start += options.tileQueries) {
    const end = Math.min(start + options.tileQueries, queries);
    const row = new Array<TileKind>(columns).fill("empty");
    const runs = maskRuns(masks, {
      batch: [batch, batch],
      head: [head, head],
      queryStart: queryOffset + start,
      queryEnd: queryOffset + end - 1,
      keyLength: keys,
      tileKeys,
    });
    for (const { start: first, count, full } of runs) {
      row.fill(full ? "full" : "mixed", first, first + count);
    }
    rows.push(row);
  }
  return rows;
}

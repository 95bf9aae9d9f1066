/**
 * Tiles of rows and keys, and which of them a schedule visits.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { PackedSizes } from "./sizes.ts";

/**
 * The tiles of a schedule that goes along rows and keys.
 *
 * @category Planning
 */
export interface CostTiles {
  /** Br: packed query rows of a tile. */
  readonly rows: number;
  /** Bc: keys of a tile. */
  readonly keys: number;
  /** Which tiles are visited, where a mask rules some out; default all. */
  readonly visits?:
    | ((
      rowTile: number,
      keyTile: number,
      batch: number,
      kvHead: number,
    ) => boolean)
    | undefined;
}

/** Sums over the visited tiles of all sequences and kv heads. */
export interface VisitSums {
  /** Rows of visited tiles. */
  readonly rows: number;
  /** Keys of visited tiles. */
  readonly keys: number;
  /** (row, key) pairs of visited tiles. */
  readonly pairs: number;
  /** Rows of row tiles that visit any key tile. */
  readonly seeingRows: number;
  /** Keys of key tiles that any row tile visits. */
  readonly seenKeys: number;
  /** Visited tiles. */
  readonly tiles: number;
}

/** What sums over tiles are turned into costs with. */
export interface RowSizes {
  /** Rows of all heads, whether they see a key or not. */
  readonly allRows: number;
  /** d. */
  readonly headDim: number;
  /** e. */
  readonly valueHeadDim: number;
  /** Whether the log-sum-exp is written. */
  readonly lse: boolean;
}

/** The rows of all heads of a dense problem. */
export function rowSizes(
  { batch, kvHeads, rows, headDim, valueHeadDim, lse }: PackedSizes,
): RowSizes {
  return { allRows: batch * kvHeads * rows, headDim, valueHeadDim, lse };
}

/**
 * Checks tile sizes.
 *
 * @throws {TypeError} if one is no number, or `visits` no function
 * @throws {RangeError} if one is no integer >= 1
 */
export function checkTiles({ rows, keys, visits }: CostTiles): void {
  checkInteger("tiles.rows", rows, 1);
  checkInteger("tiles.keys", keys, 1);
  checkType(
    visits === undefined || typeof visits === "function",
    "tiles.visits",
    "must be a function of a row tile, a key tile, a sequence and a kv head",
    visits,
  );
}

/** Sums over visited tiles: by formula where all are, else one by one. */
export function visitSums(sizes: PackedSizes, tiles: CostTiles): VisitSums {
  const { batch, kvHeads, rows, keys } = sizes;
  const rowTiles = Math.ceil(rows / tiles.rows);
  const keyTiles = Math.ceil(keys / tiles.keys);
  const heads = batch * kvHeads;
  if (!tiles.visits) {
    return {
      rows: heads * keyTiles * rows,
      keys: heads * rowTiles * keys,
      pairs: heads * rows * keys,
      seeingRows: heads * (keyTiles > 0 ? rows : 0),
      seenKeys: heads * (rowTiles > 0 ? keys : 0),
      tiles: heads * rowTiles * keyTiles,
    };
  }
  const sums = {
    rows: 0,
    keys: 0,
    pairs: 0,
    seeingRows: 0,
    seenKeys: 0,
    tiles: 0,
  };
  const extent = (i: number, tile: number, length: number) =>
    Math.min(tile, length - i * tile);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < kvHeads; head++) {
      const seen = new Set<number>();
      for (let i = 0; i < rowTiles; i++) {
        const own = extent(i, tiles.rows, rows);
        let sees = false;
        for (let j = 0; j < keyTiles; j++) {
          if (!tiles.visits(i, j, b, head)) continue;
          const theirs = extent(j, tiles.keys, keys);
          sees = true;
          seen.add(j);
          sums.rows += own;
          sums.keys += theirs;
          sums.pairs += own * theirs;
          sums.tiles++;
        }
        if (sees) sums.seeingRows += own;
      }
      for (const j of seen) sums.seenKeys += extent(j, tiles.keys, keys);
    }
  }
  return sums;
}

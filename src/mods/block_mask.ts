/**
 * Block masks: which tiles of keys a tile of queries needs, as runs, inferred
 * from any mask by the interval reading. No queries x keys mask is formed.
 *
 * @module
 */

import { checkInteger, checkRange } from "../core/check.ts";
import { maskClassifier } from "./interval.ts";
import type { Interval } from "./interval_arithmetic.ts";
import type { MaskMod } from "./trace.ts";

/**
 * Consecutive tiles of keys that are treated alike.
 *
 * @category Tiles
 */
export interface Run {
  /** The first tile. */
  readonly start: number;
  /** How many tiles. */
  readonly count: number;
  /** Whether every pair is seen, so that the mask need not be evaluated. */
  readonly full: boolean;
}

/**
 * A tile of queries, and how its keys are tiled.
 *
 * @category Tiles
 */
export interface MaskRunsOptions {
  /** Inclusive range of batch indices that share the runs. */
  readonly batch: Interval;
  /** Inclusive range of query heads that share the runs. */
  readonly head: Interval;
  /** The first query's position, in the keys' coordinate. */
  readonly queryStart: number;
  /** The last query's position (inclusive). */
  readonly queryEnd: number;
  /** The number of keys. */
  readonly keyLength: number;
  /** Keys in a tile. */
  readonly tileKeys: number;
}

/**
 * The tiles of keys that a tile of queries needs: ascending, disjoint, merged.
 * Tiles proven empty are left out; a run is full only where every key exists
 * and is proven to be seen by every query.
 *
 * The range of tiles is bisected until it is uniform, so a mask with few edges
 * costs O(log tiles).
 *
 * @throws {TypeError} If an option is not a number.
 * @throws {RangeError} If one is not an integer of its range, or a range is
 * empty.
 *
 * @example A query tile far behind a window
 * ```ts
 * import { causal, maskRuns, slidingWindow } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const runs = maskRuns([causal(), slidingWindow({ left: 63 })], {
 *   batch: [0, 0],
 *   head: [0, 0],
 *   queryStart: 512,
 *   queryEnd: 527,
 *   keyLength: 1024,
 *   tileKeys: 16,
 * });
 * assertEquals(runs, [
 *   { start: 28, count: 1, full: false },
 *   { start: 29, count: 3, full: true },
 *   { start: 32, count: 1, full: false },
 * ]);
 * ```
 *
 * @category Tiles
 */
export function maskRuns(
  mods: readonly MaskMod[],
  options: MaskRunsOptions,
): Run[] {
  const { batch, head, queryStart, queryEnd, keyLength, tileKeys } = options;
  checkInteger("keyLength", keyLength, 0, 2 ** 31 - 1);
  checkInteger("tileKeys", tileKeys, 1, 2 ** 31 - 1);
  checkInteger("queryStart", queryStart, -(2 ** 31), 2 ** 31 - 1);
  checkInteger("queryEnd", queryEnd, -(2 ** 31), 2 ** 31 - 1);
  checkRange(
    queryStart <= queryEnd,
    "queryEnd",
    `must be >= queryStart (${queryStart})`,
    queryEnd,
  );
  const classify = maskClassifier(mods);
  const query: Interval = [queryStart, queryEnd];
  const wholeTiles = Math.floor(keyLength / tileKeys);
  const runs: Run[] = [];
  const visit = (start: number, end: number) => {
    const last = Math.min(end * tileKeys, keyLength) - 1;
    const key: Interval = [start * tileKeys, last];
    const found = classify({ batch, head, query, key });
    if (found === "none") return;
    if (found === "all") {
      append(runs, start, Math.min(end, wholeTiles), true);
      append(runs, Math.max(start, wholeTiles), end, false);
    } else if (end - start === 1) {
      append(runs, start, end, false);
    } else {
      const middle = start + ((end - start) >> 1);
      visit(start, middle);
      visit(middle, end);
    }
  };
  const tiles = Math.ceil(keyLength / tileKeys);
  if (tiles > 0) visit(0, tiles);
  return runs;
}

/** Appends tiles `start..end - 1`, merging them with the last run if alike. */
function append(runs: Run[], start: number, end: number, full: boolean): void {
  if (start >= end) return;
  const last = runs.at(-1);
  if (last?.full === full && last.start + last.count === start) {
    runs[runs.length - 1] = { ...last, count: end - last.start };
  } else {
    runs.push({ start, count: end - start, full });
  }
}

/** How many tiles runs visit, and how many of those need no mask. */
export function countTiles(
  runs: readonly Run[],
): { visited: number; full: number } {
  let [visited, full] = [0, 0];
  for (const run of runs) {
    visited += run.count;
    if (run.full) full += run.count;
  }
  return { visited, full };
}

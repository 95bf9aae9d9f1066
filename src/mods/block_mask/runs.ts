/**
 * Block masks: which tiles of keys a tile of queries needs, as runs, inferred
 * from any mask by the interval reading. No queries x keys mask is formed.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { type MaskClass, maskClassifier } from "../interval/interval.ts";
import type { Interval } from "../interval/interval_arithmetic.ts";
import type { MaskMod } from "../trace.ts";

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
  return bisectRuns(
    keyLength,
    tileKeys,
    (first, last) => classify({ batch, head, query, key: [first, last] }),
  );
}

/**
 * A tile of keys, and how the rows that may see it are tiled.
 *
 * @category Tiles
 */
export interface MaskRowRunsOptions {
  /** Inclusive range of batch indices that share the runs. */
  readonly batch: Interval;
  /** Inclusive range of query heads that share the runs. */
  readonly head: Interval;
  /** The first key. */
  readonly keyStart: number;
  /** The last key (inclusive). */
  readonly keyEnd: number;
  /** Position of query 0, in the keys' coordinate. */
  readonly queryOffset: number;
  /** Packed rows: queries x {@linkcode MaskRowRunsOptions.group}. */
  readonly rows: number;
  /** Packed rows of one query. */
  readonly group: number;
  /** Packed rows in a tile. */
  readonly tileRows: number;
}

/**
 * {@linkcode maskRuns} with the roles swapped: the tiles of packed query rows
 * that see a tile of keys, likewise by bisection. A run is full only where every
 * row exists and is proven to see every key.
 *
 * @throws {TypeError} If an option is not a number.
 * @throws {RangeError} If one is not an integer of its range, or a range is
 * empty.
 *
 * @example The rows that see a tile of keys
 * ```ts
 * import { causal } from "@quire/attention/mods";
 * import { maskRowRuns } from "./runs.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const runs = maskRowRuns([causal()], {
 *   batch: [0, 0],
 *   head: [0, 0],
 *   keyStart: 32,
 *   keyEnd: 47,
 *   queryOffset: 0,
 *   rows: 64,
 *   group: 1,
 *   tileRows: 16,
 * });
 * assertEquals(runs, [
 *   { start: 2, count: 1, full: false },
 *   { start: 3, count: 1, full: true },
 * ]);
 * ```
 *
 * @category Tiles
 */
export function maskRowRuns(
  mods: readonly MaskMod[],
  options: MaskRowRunsOptions,
): Run[] {
  const { batch, head, keyStart, keyEnd, rows, group, tileRows } = options;
  const { queryOffset } = options;
  checkInteger("rows", rows, 0, 2 ** 31 - 1);
  checkInteger("group", group, 1, 2 ** 31 - 1);
  checkInteger("tileRows", tileRows, 1, 2 ** 31 - 1);
  checkInteger("queryOffset", queryOffset, -(2 ** 31), 2 ** 31 - 1);
  checkInteger("keyStart", keyStart, 0, 2 ** 31 - 1);
  checkInteger("keyEnd", keyEnd, keyStart, 2 ** 31 - 1);
  const classify = maskClassifier(mods);
  const key: Interval = [keyStart, keyEnd];
  const positionOf = (row: number) => queryOffset + Math.floor(row / group);
  return bisectRuns(rows, tileRows, (first, last) =>
    classify({
      batch,
      head,
      query: [positionOf(first), positionOf(last)],
      key,
    }));
}

/**
 * Tiles of `size` of `length` elements as runs, by what `classify` says of an
 * inclusive range of elements: the range is halved until it is uniform.
 */
function bisectRuns(
  length: number,
  size: number,
  classify: (first: number, last: number) => MaskClass,
): Run[] {
  const whole = Math.floor(length / size);
  const runs: Run[] = [];
  const visit = (start: number, end: number) => {
    const found = classify(start * size, Math.min(end * size, length) - 1);
    if (found === "none") return;
    if (found === "all") {
      append(runs, start, Math.min(end, whole), true);
      append(runs, Math.max(start, whole), end, false);
    } else if (end - start === 1) {
      append(runs, start, end, false);
    } else {
      const middle = start + ((end - start) >> 1);
      visit(start, middle);
      visit(middle, end);
    }
  };
  const tiles = Math.ceil(length / size);
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

/**
 * FlashAttention-1 with every element of slow memory counted: key tiles
 * outside, and O, m and l of every row read, normalised and written in each
 * step (Alg. 1).
 *
 * @module
 */

import { SENTINEL } from "../../src/core/sentinel.ts";
import { fmaF32 } from "../fma.ts";
import type { ReferenceProblem } from "../problem.ts";
import type { RowState } from "../shadow_row.ts";
import { absorbTile, lseOf } from "./rows.ts";
import { checkTiles, ScheduleRun, stretches } from "./run.ts";
import type { Head, ScheduleResult, ScheduleTiles } from "./types.ts";
import type { FastTile, SlowMatrix } from "./slow_memory.ts";

/**
 * Forward, key tiles outside.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example What it reads of two keys of two elements
 * ```ts
 * import { attention, flash1Schedule } from "@quire/attention/reference";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const problem = {
 *   query: [0.5, 1],
 *   key: [1, 0, 0, 1],
 *   value: [1, 2, 3, 4],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 * };
 * const { output, traffic } = flash1Schedule(problem, { rows: 1, keys: 1 });
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assertEquals(traffic.key.reads, 4);
 * ```
 *
 * @category Schedules
 */
export function flash1Schedule(
  problem: ReferenceProblem,
  tiles: ScheduleTiles,
): ScheduleResult {
  const run = new ScheduleRun(problem);
  return run.finish(flash1Heads(run, tiles));
}

/** A head with the m and l of its rows. */
export interface Flash1Head extends Head {
  /** `[rows, 2]`. */
  readonly statistics: SlowMatrix;
}

/** The same, of a run: its heads, with outputs, log-sum-exps, m and l. */
export function flash1Heads(
  run: ScheduleRun,
  tiles: ScheduleTiles,
): Flash1Head[] {
  checkTiles(tiles);
  return run.heads().map((head) => {
    const statistics = run.memory.matrix("statistics", head.rows, 2);
    begin(run, head, statistics, tiles.rows);
    attendHead(run, head, statistics, tiles);
    end(run, head, statistics, tiles.rows);
    return { ...head, statistics };
  });
}

/** Line 2: O = 0, l = 0, m = -Infinity, for which the sentinel stands. */
function begin(
  { memory }: ScheduleRun,
  head: Head,
  statistics: SlowMatrix,
  rowsOfTile: number,
): void {
  for (const { first, count } of stretches(head.rows, rowsOfTile)) {
    const output = memory.hold(count, head.output.columns);
    const own = memory.hold(count, 2);
    for (let r = 0; r < count; r++) own.data[2 * r] = SENTINEL;
    memory.store(head.output, { row: first }, output);
    memory.store(statistics, { row: first }, own);
    memory.drop(output, own);
  }
}

/** Lines 5 to 15. */
function attendHead(
  run: ScheduleRun,
  head: Head,
  statistics: SlowMatrix,
  tiles: ScheduleTiles,
): void {
  const { memory } = run;
  const { visits = () => true } = tiles;
  const { batch, kvHead } = head;
  for (const keys of stretches(head.keys, tiles.keys)) {
    const visiting = stretches(head.rows, tiles.rows)
      .filter(({ index }) => visits(index, keys.index, batch, kvHead));
    if (visiting.length === 0) continue;
    const part = { row: keys.first, rows: keys.count };
    const key = memory.load(head.key, part);
    const value = memory.load(head.value, part);
    for (const rows of visiting) {
      const own = { row: rows.first, rows: rows.count };
      const query = memory.load(head.query, own);
      const output = memory.load(head.output, own);
      const stats = memory.load(statistics, own);
      const scores = run.scores(head, { at: rows, query }, { at: keys, key });
      const states = statesOf(output, stats);
      absorbTile(run, states, scores, value);
      normalise(states, output, stats);
      run.flops.rescale += 3 * rows.count * output.columns;
      memory.store(head.output, own, output);
      memory.store(statistics, own, stats);
      memory.drop(query, output, stats, scores);
    }
    memory.drop(key, value);
  }
}

/** Unnormalised states from O, m and l: A = l O. */
function statesOf(output: FastTile, stats: FastTile): RowState[] {
  const { rows, columns, data } = output;
  return Array.from({ length: rows }, (_, r) => {
    const [max, sum] = stats.data.subarray(2 * r, 2 * r + 2);
    return {
      max,
      sum,
      accumulator: data.slice(r * columns, (r + 1) * columns)
        .map((o) => fmaF32(o, sum, 0)),
    };
  });
}

/** O = A / l, of rows that have a key. */
function normalise(
  states: readonly RowState[],
  output: FastTile,
  stats: FastTile,
): void {
  states.forEach(({ max, sum, accumulator }, r) => {
    const divisor = sum === 0 ? 1 : sum;
    output.data.set(
      accumulator.map((a) => Math.fround(a / divisor)),
      r * output.columns,
    );
    stats.data.set([max, sum], 2 * r);
  });
}

/** L = m + ln l. */
function end(
  { memory }: ScheduleRun,
  head: Head,
  statistics: SlowMatrix,
  rowsOfTile: number,
): void {
  for (const { first, count } of stretches(head.rows, rowsOfTile)) {
    const stats = memory.load(statistics, { row: first, rows: count });
    const lse = memory.hold(count, 1);
    for (let r = 0; r < count; r++) {
      lse.data[r] = lseOf(stats.data[2 * r], stats.data[2 * r + 1]);
    }
    memory.store(head.lse, { row: first }, lse);
    memory.drop(stats, lse);
  }
}

/**
 * FlashAttention-2 with every element of slow memory counted: row tiles
 * outside, and in each the online softmax over the key tiles that it visits.
 *
 * @module
 */

import type { ReferenceProblem } from "../problem.ts";
import { finishRow } from "../shadow_row.ts";
import { absorbTile, emptyRows } from "./rows.ts";
import { checkTiles, ScheduleRun, stretches } from "./run.ts";
import type { Head, ScheduleResult, ScheduleTiles } from "./types.ts";

/**
 * Forward, row tiles outside.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example What it reads of two keys of two elements
 * ```ts
 * import { attention, flash2Schedule } from "@quire/attention/reference";
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
 * const { output, traffic } = flash2Schedule(problem, { rows: 1, keys: 1 });
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assertEquals(traffic.key.reads, 4);
 * ```
 *
 * @category Schedules
 */
export function flash2Schedule(
  problem: ReferenceProblem,
  tiles: ScheduleTiles,
): ScheduleResult {
  const run = new ScheduleRun(problem);
  return run.finish(flash2Heads(run, tiles));
}

/** The same, of a run: its heads, with outputs and log-sum-exps. */
export function flash2Heads(run: ScheduleRun, tiles: ScheduleTiles): Head[] {
  checkTiles(tiles);
  const heads = run.heads();
  for (const head of heads) attendHead(run, head, tiles);
  return heads;
}

function attendHead(run: ScheduleRun, head: Head, tiles: ScheduleTiles): void {
  const { memory, flops } = run;
  const { columns } = head.output;
  const { visits = () => true } = tiles;
  for (const rows of stretches(head.rows, tiles.rows)) {
    const accumulator = memory.hold(rows.count, columns);
    const statistics = memory.hold(rows.count, 2);
    const states = emptyRows(rows.count, columns);
    const visited = stretches(head.keys, tiles.keys)
      .filter(({ index }) =>
        visits(rows.index, index, head.batch, head.kvHead)
      );
    const query = visited.length === 0
      ? memory.hold(0, 0)
      : memory.load(head.query, { row: rows.first, rows: rows.count });
    for (const keys of visited) {
      const part = { row: keys.first, rows: keys.count };
      const key = memory.load(head.key, part);
      const value = memory.load(head.value, part);
      const scores = run.scores(head, { at: rows, query }, { at: keys, key });
      absorbTile(run, states, scores, value);
      flops.rescale += rows.count * columns;
      memory.drop(key, value, scores);
    }
    const lse = memory.hold(rows.count, 1);
    states.forEach((state, r) => {
      const finished = finishRow(state);
      accumulator.data.set(finished.output, r * columns);
      lse.data[r] = finished.lse;
    });
    flops.rescale += rows.count * columns;
    memory.store(head.output, { row: rows.first }, accumulator);
    memory.store(head.lse, { row: rows.first }, lse);
    memory.drop(accumulator, statistics, query, lse);
  }
}

/**
 * Attention in a small cache with every element of slow memory counted (Saha
 * and Ye 2024): both products in square tiles of all three dimensions, S in slow
 * memory between them.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import { SENTINEL } from "../../src/core/sentinel.ts";
import { fmaF32 } from "../fma.ts";
import type { ReferenceProblem } from "../problem.ts";
import { addDots, addProduct } from "./products.ts";
import { expF32, lseOf } from "./rows.ts";
import { ScheduleRun, stretches } from "./run.ts";
import type { Head, ScheduleResult } from "./types.ts";
import type { SlowMatrix } from "./slow_memory.ts";

const f32 = Math.fround;

/**
 * Forward in tiles of `tile x tile`.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example What it reads of two keys of two elements
 * ```ts
 * import { attention, smallCacheSchedule } from "@quire/attention/reference";
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
 * const { output, traffic } = smallCacheSchedule(problem, 1);
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assertEquals(traffic.key.reads, 4);
 * ```
 *
 * @category Schedules
 */
export function smallCacheSchedule(
  problem: ReferenceProblem,
  tile: number,
): ScheduleResult {
  checkInteger("tile", tile, 1);
  const run = new ScheduleRun(problem);
  const heads = run.heads();
  for (const head of heads) {
    const scores = run.memory.matrix("scores", head.rows, head.keys);
    const statistics = run.memory.matrix("statistics", head.rows, 2);
    writeScores(run, head, scores, tile);
    writeStatistics(run, head, { scores, statistics, tile });
    writeOutput(run, head, { scores, statistics, tile });
  }
  return run.finish(heads);
}

/** S = scale Q K^T: a tile of it is summed over tiles of the head dim. */
function writeScores(
  run: ScheduleRun,
  head: Head,
  matrix: SlowMatrix,
  tile: number,
): void {
  const { memory } = run;
  for (const rows of stretches(head.rows, tile)) {
    for (const keys of stretches(head.keys, tile)) {
      const scores = memory.hold(rows.count, keys.count);
      for (const dims of stretches(head.query.columns, tile)) {
        const columns = { column: dims.first, columns: dims.count };
        const query = memory.load(head.query, {
          row: rows.first,
          rows: rows.count,
          ...columns,
        });
        const key = memory.load(head.key, {
          row: keys.first,
          rows: keys.count,
          ...columns,
        });
        run.flops.matmul += addDots(scores, query, key);
        memory.drop(query, key);
      }
      scores.data.forEach((product, n) => {
        const row = rows.first + Math.floor(n / keys.count);
        const key = keys.first + n % keys.count;
        const { batch, kvHead } = head;
        scores.data[n] = run.scoreOf(batch, kvHead, { row, key }, product);
      });
      memory.store(matrix, { row: rows.first, column: keys.first }, scores);
      memory.drop(scores);
    }
  }
}

interface Softmax {
  readonly scores: SlowMatrix;
  readonly statistics: SlowMatrix;
  readonly tile: number;
}

/** m and l of every row, in one pass over S. */
function writeStatistics(
  { memory, flops }: ScheduleRun,
  head: Head,
  { scores, statistics, tile }: Softmax,
): void {
  for (const rows of stretches(head.rows, tile)) {
    const own = memory.hold(rows.count, 2);
    for (let r = 0; r < rows.count; r++) own.data[2 * r] = SENTINEL;
    for (const keys of stretches(head.keys, tile)) {
      const s = memory.load(scores, {
        row: rows.first,
        rows: rows.count,
        column: keys.first,
        columns: keys.count,
      });
      for (let r = 0; r < rows.count; r++) {
        const [max, sum] = own.data.subarray(2 * r, 2 * r + 2);
        const row = s.data.subarray(r * keys.count, (r + 1) * keys.count);
        const most = row.reduce((m, x) => Math.max(m, x), max);
        const step = row.reduce((l, x) => f32(l + weight(x, most)), 0);
        own.data.set(
          [most, fmaF32(sum, expF32(f32(max - most)), step)],
          2 * r,
        );
        flops.exp += keys.count + 1;
        flops.rescale++;
      }
      memory.drop(s);
    }
    memory.store(statistics, { row: rows.first }, own);
    const lse = memory.hold(rows.count, 1);
    for (let r = 0; r < rows.count; r++) {
      lse.data[r] = lseOf(own.data[2 * r], own.data[2 * r + 1]);
    }
    memory.store(head.lse, { row: rows.first }, lse);
    memory.drop(own, lse);
  }
}

/** O = P V / l: P is formed of S again for every tile of value columns. */
function writeOutput(
  { memory, flops }: ScheduleRun,
  head: Head,
  { scores, statistics, tile }: Softmax,
): void {
  for (const rows of stretches(head.rows, tile)) {
    const part = { row: rows.first, rows: rows.count };
    for (const columns of stretches(head.output.columns, tile)) {
      const own = memory.load(statistics, part);
      const output = memory.hold(rows.count, columns.count);
      for (const keys of stretches(head.keys, tile)) {
        const p = memory.load(scores, {
          ...part,
          column: keys.first,
          columns: keys.count,
        });
        p.data.forEach((s, n) =>
          p.data[n] = weight(s, own.data[2 * Math.floor(n / keys.count)])
        );
        flops.exp += p.data.length;
        const v = memory.load(head.value, {
          row: keys.first,
          rows: keys.count,
          column: columns.first,
          columns: columns.count,
        });
        flops.matmul += addProduct(output, p, v);
        memory.drop(p, v);
      }
      output.data.forEach((a, n) => {
        const sum = own.data[2 * Math.floor(n / columns.count) + 1];
        output.data[n] = f32(a / (sum === 0 ? 1 : sum));
      });
      flops.rescale += output.data.length;
      memory.store(
        head.output,
        { row: rows.first, column: columns.first },
        output,
      );
      memory.drop(own, output);
    }
  }
}

function weight(score: number, max: number): number {
  return score === SENTINEL ? 0 : expF32(f32(score - max));
}

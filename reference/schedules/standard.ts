/**
 * Standard attention with every element of slow memory counted: S, P and O in a
 * dispatch each (FlashAttention, Alg. 0), and backward from the stored P.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../src/core/check.ts";
import { SENTINEL } from "../../src/core/sentinel.ts";
import type { ReferenceProblem } from "../problem.ts";
import { addProduct } from "./products.ts";
import { expF32, lseOf } from "./rows.ts";
import { ScheduleRun, stretches } from "./run.ts";
import type { Head, ScheduleResult } from "./types.ts";
import type { SlowMatrix } from "./slow_memory.ts";

/**
 * How the dispatches go through their operands.
 *
 * @category Schedules
 */
export interface StandardScheduleTiles {
  /** Packed rows that read all keys together; default all. */
  readonly rows?: number;
  /** Value columns of one pass over P; default all. */
  readonly columns?: number;
  /** Passes of the softmax over a row; default 1. */
  readonly passes?: 1 | 3;
}

/**
 * Forward in three dispatches.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example What it reads of two keys of two elements
 * ```ts
 * import { attention, standardSchedule } from "@quire/attention/reference";
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
 * const { output, traffic } = standardSchedule(problem);
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assertEquals(traffic.key.reads, 4);
 * ```
 *
 * @category Schedules
 */
export function standardSchedule(
  problem: ReferenceProblem,
  tiles: StandardScheduleTiles = {},
): ScheduleResult {
  const run = new ScheduleRun(problem);
  return run.finish(standardHeads(run, tiles));
}

/** A head with its probabilities. */
export interface StandardHead extends Head {
  /** P, `[rows, keys]`. */
  readonly weights: SlowMatrix;
}

/** The same, of a run: its heads, with outputs, log-sum-exps and P. */
export function standardHeads(
  run: ScheduleRun,
  { rows, columns, passes = 1 }: StandardScheduleTiles = {},
): StandardHead[] {
  if (rows !== undefined) checkInteger("rows", rows, 1);
  if (columns !== undefined) checkInteger("columns", columns, 1);
  checkRange(
    passes === 1 || passes === 3,
    "passes",
    "must be 1 or 3",
    passes,
  );
  return run.heads().map((head) => {
    const scores = run.memory.matrix("scores", head.rows, head.keys);
    const weights = run.memory.matrix("weights", head.rows, head.keys);
    const tile = rows ?? Math.max(1, head.rows);
    writeScores(run, head, scores, tile);
    softmax(run, head, { scores, weights, passes });
    writeOutput(run, head, weights, {
      rows: tile,
      columns: columns ?? head.output.columns,
    });
    return { ...head, weights };
  });
}

/** S = scale Q K^T, through mods and mask. */
function writeScores(
  run: ScheduleRun,
  head: Head,
  matrix: SlowMatrix,
  tile: number,
): void {
  const { memory } = run;
  if (head.keys === 0) return;
  for (const rows of stretches(head.rows, tile)) {
    const query = memory.load(head.query, {
      row: rows.first,
      rows: rows.count,
    });
    const keys = { index: 0, first: 0, count: head.keys };
    const key = memory.load(head.key, { row: 0, rows: head.keys });
    const scores = run.scores(head, { at: rows, query }, { at: keys, key });
    memory.store(matrix, { row: rows.first }, scores);
    memory.drop(query, key, scores);
  }
}

/** P = softmax(S), and the log-sum-exp. */
function softmax(
  run: ScheduleRun,
  head: Head,
  { scores, weights, passes }: {
    readonly scores: SlowMatrix;
    readonly weights: SlowMatrix;
    readonly passes: 1 | 3;
  },
): void {
  const { memory, flops } = run;
  for (let row = 0; row < head.rows; row++) {
    const part = { row, rows: 1 };
    let s = memory.load(scores, part);
    const max = s.data.reduce((most, x) => Math.max(most, x), SENTINEL);
    if (passes === 3) {
      memory.drop(s);
      s = memory.load(scores, part);
    }
    let p = memory.hold(1, head.keys);
    s.data.forEach((x, j) =>
      p.data[j] = x === SENTINEL ? 0 : expF32(Math.fround(x - max))
    );
    flops.exp += head.keys;
    const sum = p.data.reduce((total, x) => Math.fround(total + x), 0);
    if (passes === 3) {
      memory.store(weights, part, p);
      memory.drop(p);
      p = memory.load(weights, part);
    }
    const divisor = sum === 0 ? 1 : sum;
    p.data.forEach((x, j) => p.data[j] = Math.fround(x / divisor));
    flops.rescale += head.keys;
    memory.store(weights, part, p);
    const lse = memory.hold(1, 1);
    lse.data[0] = lseOf(max, sum);
    memory.store(head.lse, part, lse);
    memory.drop(s, p, lse);
  }
}

/** O = P V. */
function writeOutput(
  { memory, flops }: ScheduleRun,
  head: Head,
  weights: SlowMatrix,
  tiles: { readonly rows: number; readonly columns: number },
): void {
  for (const { first, count } of stretches(head.rows, tiles.rows)) {
    for (const columns of stretches(head.output.columns, tiles.columns)) {
      const p = memory.load(weights, { row: first, rows: count });
      const v = memory.load(head.value, {
        row: 0,
        rows: head.keys,
        column: columns.first,
        columns: columns.count,
      });
      const output = memory.hold(count, columns.count);
      flops.matmul += addProduct(output, p, v);
      memory.store(head.output, { row: first, column: columns.first }, output);
      memory.drop(p, v, output);
    }
  }
}

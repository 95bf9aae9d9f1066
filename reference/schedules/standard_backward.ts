/**
 * Standard backward with every element of slow memory counted: from the stored
 * P, a dispatch each for dV, dP, dS, dQ and dK (FlashAttention, Alg. 3).
 *
 * @module
 */

import type { BackwardProblem } from "../attention_backward.ts";
import {
  type BackwardHead,
  backwardHead,
  type BackwardScheduleResult,
  checkBackward,
  finishBackward,
} from "./gradients.ts";
import { addDots, addProduct, addTransposed } from "./products.ts";
import { ScheduleRun } from "./run.ts";
import type { SlowMatrix } from "./slow_memory.ts";
import { standardHeads } from "./standard.ts";

/**
 * Backward from P. Forward is run before, uncounted.
 *
 * @throws {TypeError} if an array is not as long as its shape says, or there is
 * a score mod.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Gradients, and what is read for them
 * ```ts
 * import { attentionBackward, standardBackwardSchedule } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
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
 *   outputGradient: [1, -1],
 * };
 * const { keyGradient, traffic } = standardBackwardSchedule(problem);
 * const exact = attentionBackward(problem).keyGradient;
 * assert(keyGradient.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assert(traffic.key.reads >= problem.key.length);
 * ```
 *
 * @category Schedules
 */
export function standardBackwardSchedule(
  problem: BackwardProblem,
): BackwardScheduleResult {
  checkBackward(problem);
  const forward = standardHeads(new ScheduleRun(problem));
  const run = new ScheduleRun(problem);
  const heads = forward.map((head) => backwardHead(run, head, problem));
  for (const head of heads) {
    const matrix = (tensor: string) =>
      run.memory.matrix(tensor, head.rows, head.keys);
    const weightGradient = matrix("weightGradient");
    const scoreGradient = matrix("scoreGradient");
    writeWeightGradients(run, head, weightGradient);
    writeScoreGradients(run, head, { weightGradient, scoreGradient });
    writeInputGradients(run, head, scoreGradient);
  }
  return finishBackward(run, heads);
}

/** dV = P^T dO, dP = dO V^T. */
function writeWeightGradients(
  { memory, flops }: ScheduleRun,
  head: BackwardHead & { readonly weights: SlowMatrix },
  matrix: SlowMatrix,
): void {
  const [rows, keys] = [allOf(head.rows), allOf(head.keys)];
  const p = memory.load(head.weights, rows);
  const outputGradient = memory.load(head.outputGradient, rows);
  const valueGradient = memory.hold(head.keys, head.value.columns);
  flops.matmul += addTransposed(valueGradient, p, outputGradient);
  memory.store(head.valueGradient, keys, valueGradient);
  memory.drop(p, outputGradient, valueGradient);

  const again = memory.load(head.outputGradient, rows);
  const value = memory.load(head.value, keys);
  const weightGradient = memory.hold(head.rows, head.keys);
  flops.matmul += addDots(weightGradient, again, value);
  memory.store(matrix, rows, weightGradient);
  memory.drop(again, value, weightGradient);
}

/** dS = P (dP - rowsum(P dP)), row by row, with the scale. */
function writeScoreGradients(
  run: ScheduleRun,
  head: BackwardHead & { readonly weights: SlowMatrix },
  { weightGradient, scoreGradient }: {
    readonly weightGradient: SlowMatrix;
    readonly scoreGradient: SlowMatrix;
  },
): void {
  const { memory, scale } = run;
  for (let row = 0; row < head.rows; row++) {
    const part = { row, rows: 1 };
    const p = memory.load(head.weights, part);
    const dp = memory.load(weightGradient, part);
    const ds = memory.hold(1, head.keys);
    const delta = p.data.reduce(
      (sum, x, j) => x === 0 ? sum : Math.fround(sum + x * dp.data[j]),
      0,
    );
    p.data.forEach((x, j) => {
      const difference = Math.fround(dp.data[j] - delta);
      ds.data[j] = x === 0
        ? 0
        : Math.fround(scale * Math.fround(x * difference));
    });
    memory.store(scoreGradient, part, ds);
    memory.drop(p, dp, ds);
  }
}

/** dQ = dS K, dK = dS^T Q. */
function writeInputGradients(
  { memory, flops }: ScheduleRun,
  head: BackwardHead,
  matrix: SlowMatrix,
): void {
  const [rows, keys] = [allOf(head.rows), allOf(head.keys)];
  const scoreGradient = memory.load(matrix, rows);
  const key = memory.load(head.key, keys);
  const queryGradient = memory.hold(head.rows, head.query.columns);
  flops.matmul += addProduct(queryGradient, scoreGradient, key);
  memory.store(head.queryGradient, rows, queryGradient);
  memory.drop(scoreGradient, key, queryGradient);

  const again = memory.load(matrix, rows);
  const query = memory.load(head.query, rows);
  const keyGradient = memory.hold(head.keys, head.key.columns);
  flops.matmul += addTransposed(keyGradient, again, query);
  memory.store(head.keyGradient, keys, keyGradient);
  memory.drop(again, query, keyGradient);
}

function allOf(rows: number): { row: number; rows: number } {
  return { row: 0, rows };
}

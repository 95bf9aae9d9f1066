/**
 * FlashAttention-1's backward (Alg. 4) with every element of slow memory
 * counted: key tiles outside, dQ read and written at every step.
 *
 * @module
 */

import type { BackwardProblem } from "../attention_backward.ts";
import { goAlongKeys, type KeyTileOperands } from "./along_keys.ts";
import { flash1Heads } from "./flash1.ts";
import {
  type BackwardHead,
  backwardHead,
  type BackwardScheduleResult,
  checkBackward,
  deltaOf,
  finishBackward,
  scoreGradientOf,
  weightsOf,
} from "./gradients.ts";
import { addProduct, addTransposed } from "./products.ts";
import { ScheduleRun, stretches } from "./run.ts";
import type { ScheduleTiles, Stretch } from "./types.ts";
import type { SlowMatrix } from "./slow_memory.ts";

/** A head with m and l of its rows. */
type StatisticsHead = BackwardHead & { readonly statistics: SlowMatrix };

/**
 * Backward, key tiles outside. Forward is run before, uncounted.
 *
 * @throws {TypeError} if an array is not as long as its shape says, or there is
 * a score mod.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Gradients, and what is read for them
 * ```ts
 * import { attentionBackward, flash1BackwardSchedule } from "@quire/attention/reference";
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
 * const { keyGradient, traffic } = flash1BackwardSchedule(problem, { rows: 1, keys: 1 });
 * const exact = attentionBackward(problem).keyGradient;
 * assert(keyGradient.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assert(traffic.key.reads >= problem.key.length);
 * ```
 *
 * @category Schedules
 */
export function flash1BackwardSchedule(
  problem: BackwardProblem,
  tiles: ScheduleTiles,
): BackwardScheduleResult {
  checkBackward(problem);
  const forward = flash1Heads(new ScheduleRun(problem), tiles);
  const run = new ScheduleRun(problem);
  const heads = forward.map((head) => backwardHead(run, head, problem));
  for (const head of heads) {
    begin(run, head, tiles.rows);
    goAlongKeys(run, head, tiles, (at, keys) => visit(run, head, at, keys));
  }
  return finishBackward(run, heads);
}

/** dQ = 0. */
function begin(
  { memory }: ScheduleRun,
  head: BackwardHead,
  tile: number,
): void {
  for (const { first, count } of stretches(head.rows, tile)) {
    const queryGradient = memory.hold(count, head.query.columns);
    memory.store(head.queryGradient, { row: first }, queryGradient);
    memory.drop(queryGradient);
  }
}

/** One tile of rows against one of keys. */
function visit(
  run: ScheduleRun,
  head: StatisticsHead,
  at: Stretch,
  { at: keys, key, value, keyGradient, valueGradient }: KeyTileOperands,
): void {
  const { memory, flops } = run;
  const own = { row: at.first, rows: at.count };
  const query = memory.load(head.query, own);
  const output = memory.load(head.output, own);
  const outputGradient = memory.load(head.outputGradient, own);
  const queryGradient = memory.load(head.queryGradient, own);
  const stats = memory.load(head.statistics, own);
  const scores = run.scores(head, { at, query }, { at: keys, key });
  const weights = weightsOf(run, scores, (r) => {
    const [max, sum] = stats.data.subarray(2 * r, 2 * r + 2);
    return { shift: max, factor: sum === 0 ? 0 : 1 / sum };
  });
  const delta = deltaOf(run, output, outputGradient);
  const scoreGradient = scoreGradientOf(run, weights, {
    outputGradient,
    value,
    delta,
  });
  flops.matmul += addTransposed(valueGradient, weights, outputGradient) +
    addProduct(queryGradient, scoreGradient, key) +
    addTransposed(keyGradient, scoreGradient, query);
  memory.store(head.queryGradient, own, queryGradient);
  memory.drop(query, output, outputGradient, queryGradient, stats);
  memory.drop(weights, delta, scoreGradient);
}

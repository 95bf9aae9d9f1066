/**
 * FlashAttention-2's backward without atomics, with every element of slow
 * memory counted: D, then dQ with row tiles outside, then dK and dV with key
 * tiles outside.
 *
 * @module
 */

import type { BackwardProblem } from "../attention_backward.ts";
import { goAlongKeys } from "./along_keys.ts";
import { flash2Heads } from "./flash2.ts";
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
import type { FastTile, SlowMatrix } from "./slow_memory.ts";

/** A head with the row sums of dO O. */
type DeltaHead = BackwardHead & { readonly delta: SlowMatrix };

/** What a tile of rows reads of slow memory. */
interface RowOperands {
  readonly query: FastTile;
  readonly outputGradient: FastTile;
  readonly lse: FastTile;
  readonly delta: FastTile;
}

/**
 * Backward in three dispatches. Forward is run before, uncounted.
 *
 * @throws {TypeError} if an array is not as long as its shape says, or there is
 * a score mod.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Gradients, and what is read for them
 * ```ts
 * import { attentionBackward, flash2BackwardSchedule } from "@quire/attention/reference";
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
 * const { keyGradient, traffic } = flash2BackwardSchedule(problem, { rows: 1, keys: 1 });
 * const exact = attentionBackward(problem).keyGradient;
 * assert(keyGradient.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assert(traffic.key.reads >= problem.key.length);
 * ```
 *
 * @category Schedules
 */
export function flash2BackwardSchedule(
  problem: BackwardProblem,
  tiles: ScheduleTiles,
): BackwardScheduleResult {
  checkBackward(problem);
  const forward = flash2Heads(new ScheduleRun(problem), tiles);
  const run = new ScheduleRun(problem);
  const heads = forward.map((head): DeltaHead => ({
    ...backwardHead(run, head, problem),
    delta: run.memory.matrix("delta", head.rows, 1),
  }));
  for (const head of heads) {
    writeDelta(run, head, tiles.rows);
    writeQueryGradients(run, head, tiles);
    writeKeyGradients(run, head, tiles);
  }
  return finishBackward(run, heads);
}

function writeDelta(run: ScheduleRun, head: DeltaHead, tile: number): void {
  const { memory } = run;
  for (const { first, count } of stretches(head.rows, tile)) {
    const part = { row: first, rows: count };
    const output = memory.load(head.output, part);
    const outputGradient = memory.load(head.outputGradient, part);
    const delta = deltaOf(run, output, outputGradient);
    memory.store(head.delta, part, delta);
    memory.drop(output, outputGradient, delta);
  }
}

function loadRows(
  { memory }: ScheduleRun,
  head: DeltaHead,
  { first, count }: Stretch,
): RowOperands {
  const part = { row: first, rows: count };
  return {
    query: memory.load(head.query, part),
    outputGradient: memory.load(head.outputGradient, part),
    lse: memory.load(head.lse, part),
    delta: memory.load(head.delta, part),
  };
}

/** P and dS of a tile. */
function tileOf(
  run: ScheduleRun,
  head: DeltaHead,
  rows: { readonly at: Stretch; readonly own: RowOperands },
  keys: {
    readonly at: Stretch;
    readonly key: FastTile;
    readonly value: FastTile;
  },
): { weights: FastTile; scoreGradient: FastTile } {
  const { query, outputGradient, lse, delta } = rows.own;
  const scores = run.scores(head, { at: rows.at, query }, keys);
  const weights = weightsOf(run, scores, (r) => ({ shift: lse.data[r] }));
  const { value } = keys;
  return {
    weights,
    scoreGradient: scoreGradientOf(run, weights, {
      outputGradient,
      value,
      delta,
    }),
  };
}

function writeQueryGradients(
  run: ScheduleRun,
  head: DeltaHead,
  tiles: ScheduleTiles,
): void {
  const { memory, flops } = run;
  const { visits = () => true } = tiles;
  for (const at of stretches(head.rows, tiles.rows)) {
    const queryGradient = memory.hold(at.count, head.query.columns);
    const visited = stretches(head.keys, tiles.keys)
      .filter(({ index }) => visits(at.index, index, head.batch, head.kvHead));
    if (visited.length > 0) {
      const own = loadRows(run, head, at);
      for (const keys of visited) {
        const part = { row: keys.first, rows: keys.count };
        const key = memory.load(head.key, part);
        const value = memory.load(head.value, part);
        const operands = { at: keys, key, value };
        const tile = tileOf(run, head, { at, own }, operands);
        flops.matmul += addProduct(queryGradient, tile.scoreGradient, key);
        memory.drop(key, value, tile.weights, tile.scoreGradient);
      }
      memory.drop(...Object.values(own));
    }
    memory.store(head.queryGradient, { row: at.first }, queryGradient);
    memory.drop(queryGradient);
  }
}

function writeKeyGradients(
  run: ScheduleRun,
  head: DeltaHead,
  tiles: ScheduleTiles,
): void {
  const { memory, flops } = run;
  goAlongKeys(run, head, tiles, (at, keys) => {
    const own = loadRows(run, head, at);
    const tile = tileOf(run, head, { at, own }, keys);
    flops.matmul +=
      addTransposed(keys.valueGradient, tile.weights, own.outputGradient) +
      addTransposed(keys.keyGradient, tile.scoreGradient, own.query);
    memory.drop(...Object.values(own), tile.weights, tile.scoreGradient);
  });
}

/**
 * What the backward schedules have in common: their input, the gradients of a
 * tile, and their result.
 *
 * ```text
 * P = exp(S - L)   D = rowsum(dO O)   dP = dO V^T   dS = P (dP - D)
 * dQ = scale dS K    dK = scale dS^T Q    dV = P^T dO
 * ```
 *
 * @module
 */

import { checkType } from "../../src/core/check.ts";
import { SENTINEL } from "../../src/core/sentinel.ts";
import type { BackwardProblem } from "../attention_backward.ts";
import { checkLength } from "../problem.ts";
import { addDots } from "./products.ts";
import type { ScheduleRun } from "./run.ts";
import type { Head, ScheduleCounts } from "./types.ts";
import type { FastTile, SlowMatrix } from "./slow_memory.ts";

/**
 * A backward's result, and what it took.
 *
 * @category Schedules
 */
export interface BackwardScheduleResult extends ScheduleCounts {
  /** Like the query. */
  readonly queryGradient: Float32Array;
  /** Like the key, summed over the query heads of a kv head. */
  readonly keyGradient: Float32Array;
  /** Like the value. */
  readonly valueGradient: Float32Array;
}

/** A head with what backward reads and writes besides. */
export interface BackwardHead extends Head {
  /** `[rows, valueHeadDim]`. */
  readonly outputGradient: SlowMatrix;
  /** `[rows, headDim]`. */
  readonly queryGradient: SlowMatrix;
  /** `[keys, headDim]`. */
  readonly keyGradient: SlowMatrix;
  /** `[keys, valueHeadDim]`. */
  readonly valueGradient: SlowMatrix;
}

/**
 * Checks a backward's input.
 *
 * @throws {TypeError} if `outputGradient` is not as long as its shape says, or
 * there is a score mod or a gradient of the log-sum-exp, which these schedules
 * do not take
 */
export function checkBackward(problem: BackwardProblem): void {
  const { batch, queryLength, queryHeads, headDim } = problem;
  checkLength("outputGradient", problem.outputGradient, [
    batch,
    queryLength,
    queryHeads,
    problem.valueHeadDim ?? headDim,
  ]);
  for (const name of ["score", "lseGradient"] as const) {
    checkType(
      problem[name] === undefined,
      name,
      "must not be given, as this schedule does not take it",
      problem[name],
    );
  }
}

/** A forward's head with gradients beside it, in the slow memory of a run. */
export function backwardHead<H extends Head>(
  run: ScheduleRun,
  head: H,
  { outputGradient }: BackwardProblem,
): H & BackwardHead {
  const { memory } = run;
  const { rows, keys, query, key, value } = head;
  return {
    ...head,
    outputGradient: run.packRows(
      "outputGradient",
      head,
      outputGradient,
      value.columns,
    ),
    queryGradient: memory.matrix("queryGradient", rows, query.columns),
    keyGradient: memory.matrix("keyGradient", keys, key.columns),
    valueGradient: memory.matrix("valueGradient", keys, value.columns),
  };
}

/** D of a tile of rows: `[rows, 1]`. */
export function deltaOf(
  run: ScheduleRun,
  output: FastTile,
  outputGradient: FastTile,
): FastTile {
  const delta = run.memory.hold(output.rows, 1);
  output.data.forEach((o, n) => {
    const r = Math.floor(n / output.columns);
    delta.data[r] = Math.fround(delta.data[r] + o * outputGradient.data[n]);
  });
  run.flops.matmul += 2 * output.data.length;
  return delta;
}

/** Probabilities in place of scores: `exp(s - shift)` times `factor`. */
export function weightsOf(
  run: ScheduleRun,
  scores: FastTile,
  of: (row: number) => { readonly shift: number; readonly factor?: number },
): FastTile {
  scores.data.forEach((s, n) => {
    const { shift, factor } = of(Math.floor(n / scores.columns));
    const p = s === SENTINEL
      ? 0
      : Math.fround(Math.exp(Math.fround(s - shift)));
    scores.data[n] = factor === undefined ? p : Math.fround(p * factor);
    run.flops.exp++;
    if (factor !== undefined) run.flops.rescale++;
  });
  return scores;
}

/** `scale P (dO V^T - D)`, of the tile whose probabilities are given. */
export function scoreGradientOf(
  run: ScheduleRun,
  weights: FastTile,
  { outputGradient, value, delta }: {
    readonly outputGradient: FastTile;
    readonly value: FastTile;
    readonly delta: FastTile;
  },
): FastTile {
  const tile = run.memory.hold(weights.rows, weights.columns);
  run.flops.matmul += addDots(tile, outputGradient, value);
  tile.data.forEach((dp, n) => {
    const p = weights.data[n];
    const d = delta.data[Math.floor(n / weights.columns)];
    tile.data[n] = p === 0
      ? 0
      : Math.fround(run.scale * Math.fround(p * Math.fround(dp - d)));
  });
  return tile;
}

/** The result of a run over its heads. */
export function finishBackward(
  run: ScheduleRun,
  heads: readonly BackwardHead[],
): BackwardScheduleResult {
  return {
    queryGradient: run.unpackRows(heads, ({ queryGradient }) => queryGradient),
    keyGradient: run.unpackKeys(heads, ({ keyGradient }) => keyGradient),
    valueGradient: run.unpackKeys(heads, ({ valueGradient }) => valueGradient),
    ...run.counts,
  };
}

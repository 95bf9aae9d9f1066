/**
 * Rows of a tile as states of the online softmax, and their steps.
 *
 * @module
 */

import { SENTINEL } from "../../src/core/sentinel.ts";
import {
  absorbStep,
  emptyRow,
  type RowState,
  type SeenTile,
} from "../shadow_row.ts";
import type { ScheduleRun } from "./run.ts";
import type { FastTile } from "./slow_memory.ts";

const f32 = Math.fround;

/** States of rows that have seen nothing. */
export function emptyRows(count: number, valueHeadDim: number): RowState[] {
  return Array.from({ length: count }, () => emptyRow(valueHeadDim));
}

/** Takes a tile of scores and values into the rows' states. */
export function absorbTile(
  run: ScheduleRun,
  states: readonly RowState[],
  scores: FastTile,
  value: FastTile,
): void {
  states.forEach((state, r) => {
    absorbStep(state, seenOf(scores, r, value.columns), value.data);
    run.flops.matmul += 2 * scores.columns * value.columns;
    run.flops.exp += scores.columns + 1;
  });
}

/** The seen keys of a row of scores: the scores, and where values lie. */
export function seenOf(
  scores: FastTile,
  row: number,
  valueHeadDim: number,
): SeenTile {
  const all = Array.from(
    { length: scores.columns },
    (_, j) => ({ s: scores.data[row * scores.columns + j], j }),
  );
  const seen = all.filter(({ s }) => s !== SENTINEL);
  return {
    scores: seen.map(({ s }) => s),
    valuesAt: seen.map(({ j }) => j * valueHeadDim),
    kept: seen.map(() => 1),
  };
}

/** The log-sum-exp of a row's m and l. */
export function lseOf(max: number, sum: number): number {
  return sum === 0 ? -Infinity : f32(max + f32(Math.log(sum)));
}

/** `exp` in float32. */
export function expF32(x: number): number {
  return f32(Math.exp(x));
}

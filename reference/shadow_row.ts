/**
 * One row's state in the tiled kernel, in float32: what lives in registers
 * from one step of keys to the next.
 *
 * @module
 */

import { SENTINEL } from "../src/core/sentinel.ts";
import { fmaF32 } from "./fma.ts";

const f32 = Math.fround;

/**
 * A row after some of its keys, in float32. A row that has seen a key has
 * `l >= 1`, the weight of the key with the largest score; `l = 0` has none.
 */
export interface RowState {
  /** `m`, the largest score so far; {@linkcode SENTINEL} before any. */
  max: number;
  /** `l`, the sum of `exp(score - max)`. */
  sum: number;
  /** `A`, the sum of `exp(score - max) * value`; `[valueHeadDim]`. */
  accumulator: Float32Array;
}

/** The keys of one step that a row sees. */
export interface SeenTile {
  /** Their scores. */
  readonly scores: readonly number[];
  /** By how much dropout multiplies the weight of each. */
  readonly kept: readonly number[];
  /** Where the value of each starts. */
  readonly valuesAt: readonly number[];
}

/** The state of a row that has seen no key. */
export function emptyRow(valueHeadDim: number): RowState {
  return {
    max: SENTINEL,
    sum: 0,
    accumulator: new Float32Array(valueHeadDim),
  };
}

/**
 * Takes in the keys of one step that the row sees. Keys that it does not see
 * are left out rather than weighed with 0, as `0 * NaN` is no 0. The step is
 * summed by itself first, so that the error grows with steps, not with keys.
 */
export function absorbStep(
  state: RowState,
  { scores, kept, valuesAt }: SeenTile,
  values: ArrayLike<number>,
): void {
  let newMax = state.max;
  for (const s of scores) newMax = Math.max(newMax, s);
  const alpha = expF32(f32(state.max - newMax));
  const p = scores.map((s) => weight(s, newMax));

  let sum = 0;
  for (const w of p) sum = f32(sum + w);
  state.sum = fmaF32(state.sum, alpha, sum);

  const { accumulator } = state;
  for (let c = 0; c < accumulator.length; c++) {
    let product = 0;
    for (let n = 0; n < p.length; n++) {
      product = fmaF32(f32(p[n] * kept[n]), values[valuesAt[n] + c], product);
    }
    accumulator[c] = fmaF32(accumulator[c], alpha, product);
  }
  state.max = newMax;
}

/**
 * The state over the keys of all, folded in order. A row without keys changes
 * nothing.
 */
export function mergeRowStates(states: readonly RowState[]): RowState {
  let max = SENTINEL;
  for (const state of states) max = Math.max(max, state.max);
  const merged = emptyRow(states[0].accumulator.length);
  merged.max = max;
  for (const { max: own, sum, accumulator } of states) {
    const scaling = own === max ? 1 : expF32(f32(own - max));
    merged.sum = fmaF32(scaling, sum, merged.sum);
    merged.accumulator.forEach((a, c) => {
      merged.accumulator[c] = fmaF32(scaling, accumulator[c], a);
    });
  }
  return merged;
}

/** The epilogue: `O = A / l`, `L = m + ln l`; 0 and -Infinity without keys. */
export function finishRow(
  { max, sum, accumulator }: RowState,
): { output: Float32Array; lse: number } {
  if (sum === 0) return { output: accumulator, lse: -Infinity };
  return {
    output: accumulator.map((a) => f32(a / sum)),
    lse: f32(max + f32(Math.log(sum))),
  };
}

/** What a score weighs under the row's maximum; nothing if it is hidden. */
function weight(score: number, max: number): number {
  return score === SENTINEL ? 0 : expF32(f32(score - max));
}

function expF32(x: number): number {
  return f32(Math.exp(x));
}

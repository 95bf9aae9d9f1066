/**
 * One row's state in the tiled kernel, in float32: what lives in registers
 * from one key tile to the next.
 *
 * @module
 */

const f32 = Math.fround;

/**
 * Where the running maximum starts. WGSL may assume that there is no infinity,
 * so the start is finite, and below any score: `exp(SENTINEL - s)` is 0 for
 * every real score, and `exp(SENTINEL - SENTINEL)` is 1, never NaN. Whether a
 * row has seen a key is kept apart and never read off the maximum.
 */
export const SENTINEL: number = -1e30;

/** A row after some of its keys, in float32. */
export interface RowState {
  /** `m`, the largest score so far; {@linkcode SENTINEL} before any. */
  max: number;
  /** `l`, the sum of `exp(score - max)`. */
  sum: number;
  /** `A`, the sum of `exp(score - max) * value`; `[valueHeadDim]`. */
  accumulator: Float32Array;
  /** Whether any key was seen. */
  hasKey: boolean;
}

/** The state of a row that has seen no key. */
export function emptyRow(valueHeadDim: number): RowState {
  return {
    max: SENTINEL,
    sum: 0,
    accumulator: new Float32Array(valueHeadDim),
    hasKey: false,
  };
}

/**
 * Takes in the keys of one tile that the row sees. Keys that it does not see
 * are left out rather than weighed with 0, as `0 * NaN` is no 0.
 */
export function absorbTile(
  state: RowState,
  { scores, valuesAt }: { scores: number[]; valuesAt: number[] },
  values: ArrayLike<number>,
): void {
  let newMax = state.max;
  for (const s of scores) newMax = Math.max(newMax, s);
  const alpha = expF32(f32(state.max - newMax));
  const p = scores.map((s) => expF32(f32(s - newMax)));

  let sum = 0;
  for (const weight of p) sum = f32(sum + weight);
  state.sum = f32(f32(state.sum * alpha) + sum);

  const { accumulator } = state;
  for (let c = 0; c < accumulator.length; c++) {
    let product = 0;
    for (let n = 0; n < p.length; n++) {
      product = f32(product + f32(p[n] * values[valuesAt[n] + c]));
    }
    accumulator[c] = f32(f32(accumulator[c] * alpha) + product);
  }
  state.max = newMax;
  if (scores.length > 0) state.hasKey = true;
}

/** The state over the keys of both. A row without keys changes nothing. */
export function mergeRowStates(x: RowState, y: RowState): RowState {
  const max = Math.max(x.max, y.max);
  const xWeight = expF32(f32(x.max - max));
  const yWeight = expF32(f32(y.max - max));
  return {
    max,
    sum: f32(f32(x.sum * xWeight) + f32(y.sum * yWeight)),
    accumulator: x.accumulator.map((a, c) =>
      f32(f32(a * xWeight) + f32(y.accumulator[c] * yWeight))
    ),
    hasKey: x.hasKey || y.hasKey,
  };
}

/** The epilogue: `O = A / l`, `L = m + ln l`; 0 and -Infinity without keys. */
export function finishRow(
  state: RowState,
): { output: Float32Array; lse: number } {
  const { max, sum, accumulator, hasKey } = state;
  if (!hasKey) {
    return { output: new Float32Array(accumulator.length), lse: -Infinity };
  }
  return {
    output: accumulator.map((a) => f32(a / sum)),
    lse: f32(max + f32(Math.log(sum))),
  };
}

function expF32(x: number): number {
  return f32(Math.exp(x));
}

/**
 * Attention in the three steps that a textbook takes, in low precision: what
 * anybody would get without tiling. It is the yardstick of the error rule: a
 * kernel may be as wrong as this, by a small factor, and no more.
 *
 * ```text
 * S = scale * Q K^T      P = softmax(S)      O = P V
 * ```
 *
 * Arithmetic is float32, rounded after every operation. Whatever a step hands
 * to the next (inputs, S, P, O) is stored in the given precision.
 *
 * @module
 */

import { roundToFloat16 } from "../src/core/half.ts";
import { geometryOf, type ReferenceProblem } from "./problem.ts";

/**
 * Storage precision of the naive version.
 *
 * @category In float32
 */
export type Precision = "f32" | "f16";

/**
 * A problem, and the precision to store its numbers in.
 *
 * @category In float32
 */
export interface NaiveProblem extends ReferenceProblem {
  /** How inputs, scores, probabilities and output are stored. */
  precision: Precision;
}

/**
 * What an implementation in float32 or float16 gives.
 *
 * @category In float32
 */
export interface LowPrecisionResult {
  /** `[batch, queryLength, queryHeads, valueHeadDim]`. */
  output: Float32Array;
  /** Natural log-sum-exp in float32, `[batch, queryLength, queryHeads]`. */
  lse: Float32Array;
}

const f32 = Math.fround;
const f16 = Math.f16round ?? roundToFloat16;

/** Rounds a number to the nearest that a precision can store. */
export function roundTo(precision: Precision, x: number): number {
  return precision === "f16" ? f16(x) : Math.fround(x);
}

/** Rounds every element of an array to a precision. */
export function roundAll(
  precision: Precision,
  array: ArrayLike<number>,
): Float32Array {
  return Float32Array.from(array, (x) => roundTo(precision, x));
}

/** `sum_t a[aStart + t] * b[bStart + t]`, rounded to float32 at every step. */
export function dotF32(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  length: number,
): number {
  let sum = 0;
  for (let t = 0; t < length; t++) {
    sum = f32(sum + f32(a[aStart + t] * b[bStart + t]));
  }
  return sum;
}

/**
 * Attention by the textbook's three steps in float32 arithmetic.
 *
 * @param problem The problem and its storage precision.
 * @returns Output (rounded to the precision) and log-sum-exp (float32).
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example How wrong float16 storage is
 * ```ts
 * import { attention, naiveAttention } from "@quire/attention/reference";
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
 * };
 * const { output } = naiveAttention({ ...problem, precision: "f16" });
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 0.01));
 * ```
 *
 * @category In float32
 */
export function naiveAttention(problem: NaiveProblem): LowPrecisionResult {
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads, headDim, precision } = problem;
  const { score, mask, keep } = problem;
  const { valueHeadDim } = geometry;
  const scale = f32(geometry.scale);
  const query = roundAll(precision, problem.query);
  const key = roundAll(precision, problem.key);
  const value = roundAll(precision, problem.value);
  const output = new Float32Array(geometry.rows * valueHeadDim);
  const lse = new Float32Array(geometry.rows).fill(-Infinity);

  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const row = geometry.rowAt(b, i, h);
        const position = i + geometry.queryOffset(b);

        const seen: number[] = [];
        const scores: number[] = [];
        for (let j = 0; j < geometry.keyCount(b); j++) {
          if (mask && !mask(b, h, position, j)) continue;
          const queryAt = geometry.queryAt(b, i, h);
          const keyAt = geometry.keyAt(b, j, h);
          const product = dotF32(query, queryAt, key, keyAt, headDim);
          let s = roundTo(precision, f32(scale * product));
          if (score) s = roundTo(precision, score(s, b, h, position, j));
          seen.push(j);
          scores.push(s);
        }
        if (seen.length === 0) continue;

        const softmax = softmaxF32(scores);
        lse[row] = softmax.lse;
        for (let n = 0; n < seen.length; n++) {
          const kept = f32(keep?.(b, h, position, seen[n]) ?? 1);
          const p = roundTo(precision, f32(softmax.probabilities[n] * kept));
          const valueAt = geometry.valueAt(b, seen[n], h);
          for (let c = 0; c < valueHeadDim; c++) {
            output[row * valueHeadDim + c] += f32(p * value[valueAt + c]);
          }
        }
      }
    }
  }
  return { output: roundAll(precision, output), lse };
}

/** The softmax and log-sum-exp of at least one score, in float32. */
export function softmaxF32(
  scores: number[],
): { probabilities: number[]; lse: number } {
  let max = -Infinity;
  for (const s of scores) max = Math.max(max, s);
  const exponentials = scores.map((s) => f32(Math.exp(f32(s - max))));
  let sum = 0;
  for (const e of exponentials) sum = f32(sum + e);
  return {
    probabilities: exponentials.map((e) => f32(e / sum)),
    lse: f32(max + f32(Math.log(sum))),
  };
}

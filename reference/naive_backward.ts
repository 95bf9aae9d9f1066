/**
 * The gradients of attention in the steps that a textbook takes, in low
 * precision: what anybody would get without tiling, and so the yardstick of the
 * error rule for backward kernels.
 *
 * ```text
 * S = scale * Q K^T     P = softmax(S)       O = P V     dV = P^T dO
 * dP = dO V^T           D = <dO, O> - dL     dS = P (dP - D)
 * dQ = scale dS K       dK = scale dS^T Q
 * ```
 *
 * Arithmetic is float32, rounded after every operation. Whatever a step hands
 * to the next (inputs, S, P, O, dP, dS, and the gradients) is stored in the
 * given precision, but for the row's D.
 *
 * @module
 */

import {
  type BackwardProblem,
  checkScoreDerivative,
} from "./attention_backward.ts";
import {
  dotF32,
  type Precision,
  roundAll,
  roundTo,
  softmaxF32,
} from "./naive.ts";
import { geometryOf } from "./problem.ts";

/**
 * A problem with what comes back, and the precision to store numbers in.
 *
 * @category Gradients
 */
export interface NaiveBackwardProblem extends BackwardProblem {
  /** How everything that is stored is stored. */
  precision: Precision;
}

/**
 * Gradients in float32 or float16.
 *
 * @category Gradients
 */
export interface LowPrecisionGradients {
  /** As `query`. */
  queryGradient: Float32Array;
  /** As `key`. */
  keyGradient: Float32Array;
  /** As `value`. */
  valueGradient: Float32Array;
}

const f32 = Math.fround;

/**
 * Gradients of attention by the textbook's steps in float32 arithmetic.
 *
 * @param problem The problem, what the loss sends back (`lseGradient` stays in
 * float32), and the storage precision.
 * @returns The gradients, rounded to the precision.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example How wrong float16 storage is
 * ```ts
 * import {
 *   attentionBackward,
 *   naiveAttentionBackward,
 * } from "@quire/attention/reference";
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
 * const naive = naiveAttentionBackward({ ...problem, precision: "f16" });
 * const { keyGradient } = attentionBackward(problem);
 * assert(naive.keyGradient.every((x, i) => Math.abs(x - keyGradient[i]) < 0.01));
 * ```
 *
 * @category Gradients
 */
export function naiveAttentionBackward(
  problem: NaiveBackwardProblem,
): LowPrecisionGradients {
  const geometry = geometryOf(problem);
  checkScoreDerivative(problem);
  const { batch, queryLength, queryHeads, headDim, precision } = problem;
  const { score, mask, keep, scoreDerivative, lseGradient } = problem;
  const { valueHeadDim } = geometry;
  const scale = f32(geometry.scale);
  const store = (x: number) => roundTo(precision, x);
  const query = roundAll(precision, problem.query);
  const key = roundAll(precision, problem.key);
  const value = roundAll(precision, problem.value);
  const outputGradient = roundAll(precision, problem.outputGradient);
  const queryGradient = new Float32Array(query.length);
  const keyGradient = new Float32Array(key.length);
  const valueGradient = new Float32Array(value.length);

  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const row = geometry.rowAt(b, i, h);
        const position = i + geometry.queryOffset(b);
        const queryAt = geometry.queryAt(b, i, h);
        const outputAt = row * valueHeadDim;

        const seen: number[] = [];
        const products: number[] = [];
        const scores: number[] = [];
        for (let j = 0; j < geometry.keyCount(b); j++) {
          if (mask && !mask(b, h, position, j)) continue;
          const keyAt = geometry.keyAt(b, j, h);
          const product = dotF32(query, queryAt, key, keyAt, headDim);
          const s = store(f32(scale * product));
          seen.push(j);
          products.push(s);
          scores.push(score ? store(score(s, b, h, position, j)) : s);
        }
        if (seen.length === 0) continue;

        const weights = softmaxF32(scores).probabilities.map(store);
        const kept = seen.map((j) => f32(keep?.(b, h, position, j) ?? 1));
        const weightGradients = seen.map((j, n) => {
          const valueAt = geometry.valueAt(b, j, h);
          const product = dotF32(
            outputGradient,
            outputAt,
            value,
            valueAt,
            valueHeadDim,
          );
          return store(f32(product * kept[n]));
        });
        // D from the output as it is stored, which is what a backward is given.
        let mean = 0;
        for (let c = 0; c < valueHeadDim; c++) {
          let output = 0;
          seen.forEach((j, n) => {
            const p = store(f32(weights[n] * kept[n]));
            const element = value[geometry.valueAt(b, j, h) + c];
            output = f32(output + f32(p * element));
          });
          mean = f32(mean + f32(outputGradient[outputAt + c] * store(output)));
        }
        const delta = f32(mean - f32(lseGradient?.[row] ?? 0));

        seen.forEach((j, n) => {
          const p = store(f32(weights[n] * kept[n]));
          const valueAt = geometry.valueAt(b, j, h);
          for (let c = 0; c < valueHeadDim; c++) {
            valueGradient[valueAt + c] += f32(p * outputGradient[outputAt + c]);
          }
          const ds = store(f32(weights[n] * f32(weightGradients[n] - delta)));
          const slope = scoreDerivative
            ? f32(scoreDerivative(products[n], b, h, position, j))
            : 1;
          const dr = f32(scale * store(f32(ds * slope)));
          const keyAt = geometry.keyAt(b, j, h);
          for (let t = 0; t < headDim; t++) {
            queryGradient[queryAt + t] += f32(dr * key[keyAt + t]);
            keyGradient[keyAt + t] += f32(dr * query[queryAt + t]);
          }
        });
      }
    }
  }
  return {
    queryGradient: roundAll(precision, queryGradient),
    keyGradient: roundAll(precision, keyGradient),
    valueGradient: roundAll(precision, valueGradient),
  };
}

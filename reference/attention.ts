/**
 * Attention, as the definition says it. Everything else in this library is
 * held against this file.
 *
 * For each batch entry `b`, query `i` and head `h`, over the keys `j` it sees:
 *
 * ```text
 * s_j = score(scale * <q, k_j>)
 * p_j = exp(s_j) / sum_n exp(s_n)
 * O   = sum_j p_j v_j
 * L   = ln sum_j exp(s_j)
 * ```
 *
 * A query that sees no key has `O = 0` and `L = -Infinity`. Dropout multiplies
 * `p_j` in `O`, and only there, by `keep(j)`.
 *
 * @module
 */

import {
  geometryOf,
  type ReferenceProblem,
  type ReferenceResult,
} from "./problem.ts";
import { seenScores } from "./scores.ts";

export type { ReferenceProblem, ReferenceResult } from "./problem.ts";

/**
 * Dense attention in float64, with one row of scores at a time in full.
 *
 * @param problem Tensors, sizes, and which keys count how much.
 * @returns The output and the log-sum-exp of each row.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Two keys with equal scores: the output is the mean of their values
 * ```ts
 * import { attention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output, lse } = attention({
 *   query: [0],
 *   key: [5, 7],
 *   value: [1, 2],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output], [1.5]);
 * assertEquals([...lse], [Math.log(2)]);
 * ```
 *
 * @category Reference
 */
export function attention(problem: ReferenceProblem): ReferenceResult {
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads, value } = problem;
  const { valueHeadDim } = geometry;
  const output = new Float64Array(geometry.rows * valueHeadDim);
  const lse = new Float64Array(geometry.rows);

  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const { keys, scores } = seenScores(problem, geometry, { b, i, h });
        const softmax = softmaxOf(scores);
        const row = geometry.rowAt(b, i, h);
        lse[row] = softmax.lse;
        // No key, or none of any weight: the output stays 0.
        if (softmax.lse === -Infinity) continue;

        const position = i + geometry.queryOffset(b);
        for (let n = 0; n < keys.length; n++) {
          const kept = problem.keep?.(b, h, position, keys[n]) ?? 1;
          const weight = softmax.weights[n] * kept;
          const valueAt = geometry.valueAt(b, keys[n], h);
          for (let c = 0; c < valueHeadDim; c++) {
            output[row * valueHeadDim + c] += weight * value[valueAt + c];
          }
        }
      }
    }
  }
  return { output, lse };
}

/** The softmax of one row. */
export interface Softmax {
  /** `p_j`; they add up to 1. */
  weights: number[];
  /** `ln sum_j exp(s_j)`. */
  lse: number;
}

/** The largest score is taken out first, so no exponential overflows. */
export function softmaxOf(scores: number[]): Softmax {
  let max = -Infinity;
  for (const s of scores) max = Math.max(max, s);
  if (max === -Infinity) return { weights: [], lse: -Infinity };
  let sum = 0;
  for (const s of scores) sum += Math.exp(s - max);
  return {
    weights: scores.map((s) => Math.exp(s - max) / sum),
    lse: max + Math.log(sum),
  };
}

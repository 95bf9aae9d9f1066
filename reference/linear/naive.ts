/**
 * Linear attention by its recurrence in low precision: what anybody would get
 * without chunks. It is the yardstick of recurrent kernels, and of all in
 * float16.
 *
 * Arithmetic is float32, rounded after each term of a sum, and so are the
 * states, log gates and betas. Query, key, value and output are stored in the
 * given precision.
 *
 * @module
 */

import { type Precision, roundAll } from "../naive.ts";
import {
  type LinearAttentionProblem,
  type LinearGeometry,
  linearGeometryOf,
} from "./problem.ts";
import { runRecurrence } from "./recurrent.ts";

/**
 * A problem, and the precision to store its vectors in.
 *
 * @category Linear attention
 */
export interface NaiveLinearProblem extends LinearAttentionProblem {
  /** How query, key, value and output are stored. */
  precision: Precision;
}

/**
 * What an implementation in float32 or float16 gives.
 *
 * @category Linear attention
 */
export interface LowPrecisionLinearResult {
  /** `[tokens, outputHeads, valueHeadDim]`. */
  output: Float32Array;
  /** In float32, `[sequences, valueHeads, headDim, valueHeadDim]`. */
  state: Float32Array;
}

/**
 * Linear attention by its recurrence in float32 arithmetic.
 *
 * @param problem The problem and its storage precision.
 * @returns Output (rounded to the precision) and states (float32).
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example How wrong float16 storage is
 * ```ts
 * import {
 *   naiveLinearAttention,
 *   recurrentLinearAttention,
 * } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const problem = {
 *   query: [1, 0.3],
 *   key: [0.7, 1],
 *   value: [0.1, 3],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * };
 * const { output } = naiveLinearAttention({ ...problem, precision: "f16" });
 * const exact = recurrentLinearAttention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 0.01));
 * ```
 *
 * @category Linear attention
 */
export function naiveLinearAttention(
  problem: NaiveLinearProblem,
): LowPrecisionLinearResult {
  const { precision } = problem;
  const { rounded, geometry } = roundedProblem(problem, precision);
  const { output, state } = runRecurrence(rounded, geometry, Float32Array);
  return { output: roundAll(precision, output), state };
}

/** A problem as float32 arithmetic sees it, with vectors in a precision. */
export function roundedProblem<Problem extends LinearAttentionProblem>(
  problem: Problem,
  precision: Precision,
): { readonly rounded: Problem; readonly geometry: LinearGeometry } {
  const float32 = (array: ArrayLike<number> | undefined) =>
    array && roundAll("f32", array);
  const rounded = {
    ...problem,
    query: roundAll(precision, problem.query),
    key: roundAll(precision, problem.key),
    value: roundAll(precision, problem.value),
    decay: float32(problem.decay),
    beta: float32(problem.beta),
    initialState: float32(problem.initialState),
  };
  return { rounded, geometry: linearGeometryOf(rounded) };
}

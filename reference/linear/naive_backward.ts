/**
 * The gradients of linear attention in low precision, by its recurrence run
 * backwards: the yardstick of the error rule for backward kernels.
 *
 * @module
 */

import { type Precision, roundAll } from "../naive.ts";
import {
  type LinearBackwardProblem,
  type LinearGradients,
  runBackward,
} from "./backward.ts";
import { roundedProblem } from "./naive.ts";
import type { LinearGeometry } from "./problem.ts";

/**
 * A problem with what comes back, and the precision to store vectors in.
 *
 * @category Linear attention
 */
export interface NaiveLinearBackwardProblem extends LinearBackwardProblem {
  /** How query, key, value, the output, and their gradients are stored. */
  precision: Precision;
}

/**
 * Gradients of linear attention by its recurrence in float32 arithmetic.
 *
 * @param problem The problem, what the loss sends back, and the storage
 * precision.
 * @returns The gradients: those of query, key and value rounded to the
 * precision, the others in float32.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example How wrong float16 storage is
 * ```ts
 * import {
 *   linearAttentionBackward,
 *   naiveLinearAttentionBackward,
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
 *   outputGradient: [1, -1],
 * };
 * const naive = naiveLinearAttentionBackward({ ...problem, precision: "f16" });
 * const { keyGradient } = linearAttentionBackward(problem);
 * assert(naive.keyGradient.every((x, i) => Math.abs(x - keyGradient[i]) < 0.01));
 * ```
 *
 * @category Linear attention
 */
export function naiveLinearAttentionBackward(
  problem: NaiveLinearBackwardProblem,
): LinearGradients<Float32Array> {
  const { precision } = problem;
  const { rounded, geometry } = roundedBackward(problem, precision);
  return storedGradients(
    runBackward(rounded, geometry, Float32Array),
    precision,
  );
}

/** A problem as float32 arithmetic sees it, with vectors in a precision. */
export function roundedBackward(
  problem: LinearBackwardProblem,
  precision: Precision,
): {
  readonly rounded: LinearBackwardProblem;
  readonly geometry: LinearGeometry;
} {
  const { rounded, geometry } = roundedProblem(problem, precision);
  const { outputGradient, stateGradient } = problem;
  return {
    rounded: {
      ...rounded,
      outputGradient: roundAll(precision, outputGradient),
      stateGradient: stateGradient && roundAll("f32", stateGradient),
    },
    geometry,
  };
}

/** Gradients as they are stored: those of vectors in a precision. */
export function storedGradients(
  gradients: LinearGradients<Float64Array | Float32Array>,
  precision: Precision,
): LinearGradients<Float32Array> {
  return {
    queryGradient: roundAll(precision, gradients.queryGradient),
    keyGradient: roundAll(precision, gradients.keyGradient),
    valueGradient: roundAll(precision, gradients.valueGradient),
    decayGradient: roundAll("f32", gradients.decayGradient),
    betaGradient: roundAll("f32", gradients.betaGradient),
    initialStateGradient: roundAll("f32", gradients.initialStateGradient),
  };
}

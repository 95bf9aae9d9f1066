/**
 * Linear attention by its recurrence in low precision: what anybody would get
 * without chunks, and so the yardstick of the error rule.
 *
 * Arithmetic is float32, rounded after every operation, and so are the states,
 * log gates and betas. Query, key, value and output are stored in the given
 * precision.
 *
 * @module
 */

import { dotF32, type Precision, roundAll } from "../naive.ts";
import { type LinearAttentionProblem, linearGeometryOf } from "./problem.ts";

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

const f32 = Math.fround;

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
  const geometry = linearGeometryOf(problem);
  const { headDim, valueHeads, precision, decay, beta } = problem;
  const { valueHeadDim, stateSize } = geometry;
  const scale = f32(geometry.scale);
  const query = roundAll(precision, problem.query);
  const key = roundAll(precision, problem.key);
  const value = roundAll(precision, problem.value);
  const output = new Float32Array(
    geometry.tokens * geometry.outputHeads * valueHeadDim,
  );
  const states = new Float32Array(
    geometry.sequences.length * valueHeads * stateSize,
  );
  if (problem.initialState) states.set(Float32Array.from(problem.initialState));

  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      // One row a column of the state: what keys and queries are dotted with.
      const columns = transposed(states.subarray(stateAt), [
        headDim,
        valueHeadDim,
      ]);
      for (let token = first; token < end; token++) {
        const keyAt = geometry.keyAt(token, s);
        const valueAt = geometry.valueAt(token, s);
        const written = f32(beta?.[geometry.betaAt(token, s)] ?? 1);
        const decays = decay && Array.from({ length: headDim }, (_, t) => {
          const gate = f32(decay[geometry.gateAt(token, s, t)]);
          return f32(Math.exp(gate));
        });
        for (let c = 0; c < valueHeadDim; c++) {
          const at = c * headDim;
          decays?.forEach((a, t) => columns[at + t] = a * columns[at + t]);
          let update = value[valueAt + c];
          if (geometry.delta) {
            const recalled = dotF32(key, keyAt, columns, at, headDim);
            update = f32(written * f32(update - recalled));
          }
          for (let t = 0; t < headDim; t++) {
            columns[at + t] += f32(key[keyAt + t] * update);
          }
        }
        for (const h of geometry.readersOf(s)) {
          const queryAt = geometry.queryAt(token, h);
          const outputAt = geometry.outputAt(token, h);
          for (let c = 0; c < valueHeadDim; c++) {
            const at = c * headDim;
            const sum = dotF32(query, queryAt, columns, at, headDim);
            output[outputAt + c] = scale * sum;
          }
        }
      }
      states.set(transposed(columns, [valueHeadDim, headDim]), stateAt);
    }
  });
  return { output: roundAll(precision, output), state: states };
}

/** A matrix of `rows` by `columns` with rows for columns. */
function transposed(
  matrix: Float32Array,
  [rows, columns]: readonly [number, number],
): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = matrix[row * columns + column];
    }
  }
  return out;
}

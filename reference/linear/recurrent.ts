/**
 * Linear attention, as its recurrence says it: token after token, with one
 * matrix of state for each value head. All other forms of linear attention in
 * this library are held against this file.
 *
 * For each token `t` of a sequence, with the state `h` (`headDim` rows,
 * `valueHeadDim` columns), log gates `g`, and all that follow the rule:
 *
 * ```text
 * h'  = diag(exp g_t) h                 gated rules; h' = h else
 * u_t = v_t                             or, delta rules:
 * u_t = beta_t (v_t - h'^T k_t)
 * h   = h' + k_t u_t^T
 * o_t = scale h^T q_t
 * ```
 *
 * @module
 */

import {
  decayOf,
  type LinearAttentionProblem,
  type LinearAttentionResult,
  type LinearGeometry,
  linearGeometryOf,
} from "./problem.ts";

/**
 * Linear attention in float64 by its recurrence.
 *
 * @param problem Tensors, sizes, gates, and the state to start from.
 * @returns The output, and the state after each sequence.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example A state that halves with each token
 * ```ts
 * import { recurrentLinearAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output, state } = recurrentLinearAttention({
 *   query: [1, 1, 1],
 *   key: [1, 1, 1],
 *   value: [8, 0, 1],
 *   decay: [Math.log(0.5)],
 *   decayShape: "constant_head",
 *   batch: 1,
 *   sequence: 3,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output], [8, 4, 3]);
 * assertEquals([...state], [3]);
 * ```
 *
 * @category Linear attention
 */
export function recurrentLinearAttention(
  problem: LinearAttentionProblem,
): LinearAttentionResult {
  const geometry = linearGeometryOf(problem);
  const { valueHeads, query, headDim } = problem;
  const { valueHeadDim, scale, sequences, stateSize } = geometry;
  const output = new Float64Array(
    geometry.tokens * geometry.outputHeads * valueHeadDim,
  );
  const states = initialStates(problem, geometry);

  sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      const state = states.subarray(stateAt, stateAt + stateSize);
      for (let token = first; token < end; token++) {
        takeToken(problem, geometry, { token, s }, state);
        for (const h of geometry.readersOf(s)) {
          const queryAt = geometry.queryAt(token, h);
          const outputAt = geometry.outputAt(token, h);
          for (let c = 0; c < valueHeadDim; c++) {
            let sum = 0;
            for (let t = 0; t < headDim; t++) {
              sum += query[queryAt + t] * state[t * valueHeadDim + c];
            }
            output[outputAt + c] = scale * sum;
          }
        }
      }
    }
  });
  return { output, state: states };
}

/** The states before the first tokens. */
export function initialStates(
  { valueHeads, initialState }: LinearAttentionProblem,
  { sequences, stateSize }: LinearGeometry,
): Float64Array {
  const states = new Float64Array(sequences.length * valueHeads * stateSize);
  if (initialState !== undefined) states.set(Float64Array.from(initialState));
  return states;
}

/** What a token did to a state, but for the state itself. */
export interface TokenStep {
  /** `r = v - h'^T k`; the value itself without a delta rule. */
  readonly residual: Float64Array;
  /** `u`: what was added along the key. */
  readonly update: Float64Array;
}

/** Changes the state of value head `s` as a token says. */
export function takeToken(
  problem: LinearAttentionProblem,
  geometry: LinearGeometry,
  { token, s }: { token: number; s: number },
  state: Float64Array,
): TokenStep {
  const { key, value, beta, headDim } = problem;
  const { valueHeadDim } = geometry;
  const keyAt = geometry.keyAt(token, s);
  const valueAt = geometry.valueAt(token, s);

  for (let t = 0; t < headDim; t++) {
    const decay = decayOf(problem, geometry.gateAt(token, s, t));
    for (let c = 0; c < valueHeadDim; c++) {
      state[t * valueHeadDim + c] *= decay;
    }
  }

  const residual = new Float64Array(valueHeadDim);
  for (let c = 0; c < valueHeadDim; c++) {
    let recalled = 0;
    if (geometry.delta) {
      for (let t = 0; t < headDim; t++) {
        recalled += key[keyAt + t] * state[t * valueHeadDim + c];
      }
    }
    residual[c] = value[valueAt + c] - recalled;
  }

  const written = beta?.[geometry.betaAt(token, s)] ?? 1;
  const update = residual.map((r) => written * r);
  for (let t = 0; t < headDim; t++) {
    for (let c = 0; c < valueHeadDim; c++) {
      state[t * valueHeadDim + c] += key[keyAt + t] * update[c];
    }
  }
  return { residual, update };
}

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
 * Sums are elements of arrays, so that the loop in float64 is also the one in
 * float32: a `Float32Array` rounds what is added to it.
 *
 * @module
 */

import {
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
  return runRecurrence(problem, linearGeometryOf(problem), Float64Array);
}

/** The arrays that a loop computes in. */
export interface FloatArrays<Floats extends FloatArray> {
  new (length: number): Floats;
}

/** Numbers in one of two precisions. */
export type FloatArray = Float64Array | Float32Array;

/** The recurrence in the precision of `Floats`. */
export function runRecurrence<Floats extends FloatArray>(
  problem: LinearAttentionProblem,
  geometry: LinearGeometry,
  Floats: FloatArrays<Floats>,
): { output: Floats; state: Floats } {
  const { valueHeads, query, headDim } = problem;
  const { valueHeadDim, sequences, stateSize } = geometry;
  const { outputHeads, tokens } = geometry;
  const [scale] = new Floats(1).fill(geometry.scale);
  const output = new Floats(tokens * outputHeads * valueHeadDim);
  const states = initialStates(problem, geometry, Floats);

  sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      const state = states.subarray(stateAt, stateAt + stateSize);
      for (let token = first; token < end; token++) {
        takeToken(problem, geometry, { token, s, Floats }, state);
        for (const h of geometry.readersOf(s)) {
          const queryAt = geometry.queryAt(token, h);
          const outputAt = geometry.outputAt(token, h);
          for (let c = 0; c < valueHeadDim; c++) {
            for (let t = 0; t < headDim; t++) {
              output[outputAt + c] += query[queryAt + t] *
                state[t * valueHeadDim + c];
            }
            output[outputAt + c] *= scale;
          }
        }
      }
    }
  });
  return { output, state: states };
}

/** The states before the first tokens. */
export function initialStates<Floats extends FloatArray>(
  { valueHeads, initialState }: LinearAttentionProblem,
  { sequences, stateSize }: LinearGeometry,
  Floats: FloatArrays<Floats>,
): Floats {
  const states = new Floats(sequences.length * valueHeads * stateSize);
  if (initialState !== undefined) states.set(Float64Array.from(initialState));
  return states;
}

/** What a token did to a state. */
export interface TokenStep<Floats extends FloatArray> {
  /** `exp g` of each channel. */
  readonly decays: Floats;
  /** `r = v - h'^T k`; the value itself without a delta rule. */
  readonly residual: Floats;
  /** `beta`; 1 without. */
  readonly written: number;
  /** `u`: what was added along the key. */
  readonly update: Floats;
}

/** Changes the state of value head `s` as a token says. */
export function takeToken<Floats extends FloatArray>(
  { key, value, beta, decay, headDim }: LinearAttentionProblem,
  geometry: LinearGeometry,
  { token, s, Floats }: {
    token: number;
    s: number;
    Floats: FloatArrays<Floats>;
  },
  state: FloatArray,
): TokenStep<Floats> {
  const { valueHeadDim } = geometry;
  const keyAt = geometry.keyAt(token, s);
  const valueAt = geometry.valueAt(token, s);

  const decays = new Floats(headDim);
  for (let t = 0; t < headDim; t++) {
    const gate = decay?.[geometry.gateAt(token, s, t)] ?? 0;
    decays[t] = Math.exp(gate);
    for (let c = 0; c < valueHeadDim; c++) {
      state[t * valueHeadDim + c] *= decays[t];
    }
  }

  const recalled = new Floats(valueHeadDim);
  const residual = new Floats(valueHeadDim);
  const update = new Floats(valueHeadDim);
  const [written] = new Floats(1).fill(
    beta?.[geometry.betaAt(token, s)] ?? 1,
  );
  for (let c = 0; c < valueHeadDim; c++) {
    if (geometry.delta) {
      for (let t = 0; t < headDim; t++) {
        recalled[c] += key[keyAt + t] * state[t * valueHeadDim + c];
      }
    }
    residual[c] = value[valueAt + c] - recalled[c];
    update[c] = written * residual[c];
  }

  for (let t = 0; t < headDim; t++) {
    for (let c = 0; c < valueHeadDim; c++) {
      state[t * valueHeadDim + c] += key[keyAt + t] * update[c];
    }
  }
  return { decays, residual, written, update };
}

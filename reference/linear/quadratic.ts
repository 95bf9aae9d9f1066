/**
 * Linear attention with one weight for each pair of tokens, as softmax
 * attention has: quadratic in the tokens, and without a state in between.
 *
 * With `G_t` the sum of log gates up to token `t`, what a vector `x` recalls at
 * token `t` is
 *
 * ```text
 * recall(x, t) = sum_{s <= t} (sum_d x_d k_sd exp(G_td - G_sd)) u_s
 *              + (x exp(G_t)) h_0
 * ```
 *
 * and from it follow the output, `o_t = scale * recall(q_t, t)`, and the rows of
 * the last state, what unit vectors recall at the last token. Without a delta
 * rule `u_s = v_s`; with one, `u_t = beta_t r_t`, where the `r` solve a system of
 * equations that is triangular: `r_t = v_t - recall(k_t, t)` over `s < t`.
 *
 * @module
 */

import {
  type LinearAttentionProblem,
  type LinearAttentionResult,
  type LinearGeometry,
  linearGeometryOf,
  type SequenceRange,
  vectorAt,
} from "./problem.ts";
import { initialStates } from "./recurrent.ts";

/**
 * Linear attention in float64 by the weights of pairs of tokens.
 *
 * @param problem Tensors, sizes, gates, and the state to start from.
 * @returns The output, and the state after each sequence.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example The weights of the last of three tokens are 1/4, 1/2 and 1
 * ```ts
 * import { quadraticLinearAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output } = quadraticLinearAttention({
 *   query: [1, 1, 1],
 *   key: [1, 1, 1],
 *   value: [8, 4, 1],
 *   decay: [Math.log(0.5)],
 *   decayShape: "constant_head",
 *   batch: 1,
 *   sequence: 3,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output], [8, 8, 5]);
 * ```
 *
 * @category Linear attention
 */
export function quadraticLinearAttention(
  problem: LinearAttentionProblem,
): LinearAttentionResult {
  const geometry = linearGeometryOf(problem);
  const { query, key, value, beta, valueHeads, headDim } = problem;
  const { valueHeadDim, scale } = geometry;
  const output = new Float64Array(
    geometry.tokens * geometry.outputHeads * valueHeadDim,
  );
  const states = initialStates(problem, geometry, Float64Array);

  geometry.sequences.forEach((sequence, n) => {
    const { first, end } = sequence;
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      const before = states.slice(stateAt, stateAt + geometry.stateSize);
      const memory: Memory = { sequence, s, before, updates: [] };

      for (let token = first; token < end; token++) {
        const valueAt = geometry.valueAt(token, s);
        const update = new Float64Array(valueHeadDim);
        const keyVector = vectorAt(key, geometry.keyAt(token, s), headDim);
        const recalled = geometry.delta
          ? recall(problem, geometry, memory, { vector: keyVector, token })
          : new Float64Array(valueHeadDim);
        const written = beta?.[geometry.betaAt(token, s)] ?? 1;
        for (let c = 0; c < valueHeadDim; c++) {
          update[c] = written * (value[valueAt + c] - recalled[c]);
        }
        memory.updates.push(update);

        for (const h of geometry.readersOf(s)) {
          const vector = vectorAt(query, geometry.queryAt(token, h), headDim);
          output.set(
            recall(problem, geometry, memory, { vector, token })
              .map((x) => scale * x),
            geometry.outputAt(token, h),
          );
        }
      }
      if (first === end) continue;
      for (let t = 0; t < headDim; t++) {
        const unit = new Float64Array(headDim);
        unit[t] = 1;
        states.set(
          recall(problem, geometry, memory, { vector: unit, token: end - 1 }),
          stateAt + t * valueHeadDim,
        );
      }
    }
  });
  return { output, state: states };
}

/** What there is to recall from. */
interface Memory {
  readonly sequence: SequenceRange;
  readonly s: number;
  /** The state before the first token. */
  readonly before: Float64Array;
  /** `u` of each token of the sequence, as far as they are known. */
  readonly updates: Float64Array[];
}

/** What a vector recalls at a token of the tokens whose updates are known. */
function recall(
  { key, decay, headDim }: LinearAttentionProblem,
  geometry: LinearGeometry,
  { sequence, s, before, updates }: Memory,
  { vector, token }: { vector: Float64Array; token: number },
): Float64Array {
  const { valueHeadDim } = geometry;
  const recalled = new Float64Array(valueHeadDim);
  // G_token - G_other, summed from the token back: nothing cancels.
  const passed = new Float64Array(headDim);
  for (let other = token; other >= sequence.first; other--) {
    const update = updates[other - sequence.first];
    if (update !== undefined) {
      const keyAt = geometry.keyAt(other, s);
      let weight = 0;
      for (let t = 0; t < headDim; t++) {
        weight += vector[t] * key[keyAt + t] * Math.exp(passed[t]);
      }
      for (let c = 0; c < valueHeadDim; c++) recalled[c] += weight * update[c];
    }
    for (let t = 0; t < headDim; t++) {
      passed[t] += decay?.[geometry.gateAt(other, s, t)] ?? 0;
    }
  }
  for (let t = 0; t < headDim; t++) {
    const weight = vector[t] * Math.exp(passed[t]);
    for (let c = 0; c < valueHeadDim; c++) {
      recalled[c] += weight * before[t * valueHeadDim + c];
    }
  }
  return recalled;
}

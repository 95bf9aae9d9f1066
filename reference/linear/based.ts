/**
 * BASED's global layer (Arora et al. 2024), as its definition says it: causal
 * attention whose weights are the Taylor series of second order in place of the
 * exponential,
 *
 * ```text
 * y_i = sum_{j <= i} w_ij v_j / (sum_{j <= i} w_ij + eps)
 * w_ij = 1 + s + s^2 / 2      s = scale <q_i, k_j>
 * ```
 *
 * As linear attention it is a problem of features, `taylorProblem`.
 *
 * @module
 */

import { dot } from "../scores.ts";
import { checkEps, taylorWeight } from "./features.ts";
import {
  type LinearAttentionProblem,
  type LinearGeometry,
  linearGeometryOf,
} from "./problem.ts";

/**
 * What of a problem of linear attention polynomial weights have a use for.
 *
 * @category Linear attention
 */
export interface TaylorAttentionProblem extends
  Omit<
    LinearAttentionProblem,
    "decay" | "decayShape" | "beta" | "rule" | "initialState"
  > {
  /**
   * What is added to the sum of weights, above 0; default 1e-12, as BASED's
   * PyTorch code has it (its kernels have 1e-6).
   */
  eps?: number | undefined;
}

/** The default of `eps`. */
const EPS = 1e-12;

/**
 * Causal attention with polynomial weights in float64, by its definition.
 *
 * @param problem Tensors, sizes, and eps.
 * @returns The output, `[tokens, outputHeads, valueHeadDim]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or eps
 * is not above 0.
 *
 * @example Two weights, 1 and 1 + 1 + 1/2
 * ```ts
 * import { taylorAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const output = taylorAttention({
 *   query: [1, 1],
 *   key: [0, 1],
 *   value: [7, 14],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output].map((x) => Math.round(x)), [7, 12]);
 * ```
 *
 * @category Linear attention
 */
export function taylorAttention(problem: TaylorAttentionProblem): Float64Array {
  return weighTokens(problem, linearGeometryOf(problem), {});
}

/** Keys and values. */
interface Tokens extends Pick<LinearAttentionProblem, "key" | "value"> {
  /** 1 for those that nobody sees; default 0. */
  readonly padding?: ArrayLike<number> | undefined;
}

/** What is seen beside the tokens up to a query's own, and what is not. */
export interface SeenBeside {
  /** 1 for tokens that nobody sees; default 0. */
  readonly padding?: ArrayLike<number> | undefined;
  /** Keys and values that every token of a sequence sees, `count` of each. */
  readonly encoder?: Tokens & { readonly count: number };
}

/** The means of values under the polynomial weights of their keys. */
export function weighTokens(
  problem: TaylorAttentionProblem,
  geometry: LinearGeometry,
  { encoder, padding }: SeenBeside,
): Float64Array {
  const { query, valueHeads, headDim, eps = EPS } = problem;
  const { valueHeadDim, scale } = geometry;
  checkEps(eps);
  const output = new Float64Array(
    geometry.tokens * geometry.outputHeads * valueHeadDim,
  );

  const { key, value } = problem;
  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      for (let token = first; token < end; token++) {
        for (const h of geometry.readersOf(s)) {
          const queryAt = geometry.queryAt(token, h);
          const outputAt = geometry.outputAt(token, h);
          let weights = 0;
          const see = ({ key, value, padding }: Tokens, other: number) => {
            if (padding?.[other]) return;
            const keyAt = geometry.keyAt(other, s);
            const valueAt = geometry.valueAt(other, s);
            const product = dot(query, queryAt, key, keyAt, headDim);
            const weight = taylorWeight(scale * product);
            weights += weight;
            for (let c = 0; c < valueHeadDim; c++) {
              output[outputAt + c] += weight * value[valueAt + c];
            }
          };
          for (let other = first; other <= token; other++) {
            see({ key, value, padding }, other);
          }
          for (let other = 0; encoder && other < encoder.count; other++) {
            see(encoder, n * encoder.count + other);
          }
          for (let c = 0; c < valueHeadDim; c++) {
            output[outputAt + c] /= weights + eps;
          }
        }
      }
    }
  });
  return output;
}

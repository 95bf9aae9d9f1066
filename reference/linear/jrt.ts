/**
 * JRT-RNN's prefix linear attention (Arora et al. 2024, "Just read twice"), as
 * its definition says it: BASED with keys and values of their own for the first
 * `M` tokens, the encoder, which are seen by every token, those before them too:
 *
 * ```text
 *       sum_{j <= i} w_ij v_j + sum_{j < M} w'_ij v'_j
 * y_i = ----------------------------------------------      w'_ij of q_i, k'_j
 *       sum_{j <= i} w_ij     + sum_{j < M} w'_ij + eps
 * ```
 *
 * As linear attention it is a problem of features that starts from the encoder's
 * state. Tokens of padding have no weight, neither as keys nor in the encoder.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../src/core/check.ts";
import { checkLength } from "../problem.ts";
import { type TaylorAttentionProblem, weighTokens } from "./based.ts";
import { taylorProblem, type TaylorProblemOptions } from "./features.ts";
import {
  type LinearAttentionProblem,
  type LinearGeometry,
  linearGeometryOf,
} from "./problem.ts";
import { recurrentLinearAttention } from "./recurrent.ts";

/**
 * A problem whose first tokens are a prefix.
 *
 * @category Linear attention
 */
export interface PrefixLinearProblem extends TaylorAttentionProblem {
  /** Tokens of each sequence's prefix: at most as many as the sequence has. */
  prefix: number;
  /** `[sequences, prefix, keyHeads, headDim]`. */
  encoderKey: ArrayLike<number>;
  /** `[sequences, prefix, valueHeads, valueHeadDim]`. */
  encoderValue: ArrayLike<number>;
  /**
   * How many of each sequence's tokens, from its first, are padding and count
   * nowhere; default none. A prompt shorter than the prefix is padded so.
   */
  padding?: ArrayLike<number> | undefined;
}

/**
 * Prefix linear attention in float64, by its definition.
 *
 * @param problem Tensors, sizes, the prefix, padding, and eps.
 * @returns The output, `[tokens, outputHeads, valueHeadDim]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, the heads do not divide, the
 * prefix is longer than a sequence, or eps is not above 0.
 *
 * @example The first token sees the whole prefix
 * ```ts
 * import { prefixLinearAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const output = prefixLinearAttention({
 *   query: [0, 0],
 *   key: [0, 0],
 *   value: [1, 2],
 *   encoderKey: [0, 0],
 *   encoderValue: [3, 8],
 *   prefix: 2,
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output].map((x) => Math.round(10 * x)), [40, 35]);
 * ```
 *
 * @category Linear attention
 */
export function prefixLinearAttention(
  problem: PrefixLinearProblem,
): Float64Array {
  const geometry = linearGeometryOf(problem);
  checkPrefix(problem, geometry);
  const { prefix, encoderKey, encoderValue, padding } = problem;
  return weighTokens(problem, geometry, {
    encoder: { count: prefix, key: encoderKey, value: encoderValue },
    padding,
  });
}

/**
 * The prompt of prefix linear attention as a problem of features, which starts
 * from the state of the encoder: any form of linear attention computes it, the
 * last state is what decoding goes on from, by `taylorProblem`, and
 * `normalizedOutput` divides the outputs.
 *
 * @param problem The prompt, the prefix, and padding.
 * @param options The layout of features.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or
 * the prefix is longer than a sequence.
 *
 * @example One token of encoder, one of prompt
 * ```ts
 * import {
 *   normalizedOutput,
 *   prefixLinearProblem,
 *   recurrentLinearAttention,
 * } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const problem = prefixLinearProblem({
 *   query: [1],
 *   key: [0],
 *   value: [7],
 *   encoderKey: [1],
 *   encoderValue: [14],
 *   prefix: 1,
 *   batch: 1,
 *   sequence: 1,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * });
 * const { output } = recurrentLinearAttention(problem);
 * const [y] = normalizedOutput(output, { valueHeadDim: 1, eps: 1e-12 });
 * assertEquals(Math.round(y), 12);
 * ```
 *
 * @category Linear attention
 */
export function prefixLinearProblem(
  problem: PrefixLinearProblem,
  { layout }: Pick<TaylorProblemOptions, "layout"> = {},
): LinearAttentionProblem {
  const geometry = linearGeometryOf(problem);
  checkPrefix(problem, geometry);
  const { padding } = problem;
  const { sequences } = geometry;
  const unpadded = sequences.map(({ first }, n) => first + (padding?.[n] ?? 0));
  return {
    ...taylorProblem(problem, {
      layout,
      normalize: true,
      counts: (token) =>
        sequences.every(({ first, end }, n) =>
          token < first || token >= end || token >= unpadded[n]
        ),
    }),
    initialState: encoderState(problem, geometry, { layout }),
  };
}

/** The sums of features over each prefix, `[sequences, valueHeads, D, e + 1]`. */
function encoderState(
  problem: PrefixLinearProblem,
  { sequences }: LinearGeometry,
  { layout }: Pick<TaylorProblemOptions, "layout">,
): Float64Array {
  const { prefix, encoderKey, encoderValue, padding } = problem;
  const { queryHeads, headDim } = problem;
  const encoder = {
    ...problem,
    cuSeqlens: undefined,
    batch: sequences.length,
    sequence: prefix,
    query: new Float64Array(sequences.length * prefix * queryHeads * headDim),
    key: encoderKey,
    value: encoderValue,
  };
  const features = taylorProblem(encoder, {
    layout,
    normalize: true,
    counts: (token) =>
      token % prefix >= (padding?.[Math.floor(token / prefix)] ?? 0),
  });
  return recurrentLinearAttention(features).state;
}

function checkPrefix(
  problem: PrefixLinearProblem,
  { sequences, valueHeadDim }: LinearGeometry,
): void {
  const { prefix, encoderKey, encoderValue, padding } = problem;
  const { keyHeads, valueHeads, headDim } = problem;
  checkInteger("prefix", prefix, 0);
  const lengths = sequences.map(({ first, end }) => end - first);
  checkRange(
    lengths.every((length) => prefix <= length),
    "prefix",
    `must be at most the tokens of each sequence (${Math.min(...lengths)}); ` +
      "a shorter prompt is padded at its left",
    prefix,
  );
  const each = [sequences.length, prefix];
  checkLength("encoderKey", encoderKey, [...each, keyHeads, headDim]);
  checkLength("encoderValue", encoderValue, [
    ...each,
    valueHeads,
    valueHeadDim,
  ]);
  if (padding === undefined) return;
  checkLength("padding", padding, [sequences.length]);
  lengths.forEach((length, n) =>
    checkInteger(`padding[${n}]`, padding[n], 0, length)
  );
}

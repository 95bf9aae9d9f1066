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
  /** Tokens of each sequence's encoder. */
  prefix: number;
  /** `[sequences, prefix, keyHeads, headDim]`. */
  encoderKey: ArrayLike<number>;
  /** `[sequences, prefix, valueHeads, valueHeadDim]`. */
  encoderValue: ArrayLike<number>;
  /** `[tokens]`: 1 for tokens of padding, which nobody sees; default 0. */
  padding?: ArrayLike<number> | undefined;
  /**
   * `[sequences, prefix]`: the same of the encoder's. What is not padding is a
   * prefix, and so not longer than the sequence.
   */
  encoderPadding?: ArrayLike<number> | undefined;
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
  const { prefix, encoderKey, encoderValue } = problem;
  const { padding, encoderPadding } = problem;
  return weighTokens(problem, geometry, {
    padding,
    encoder: {
      count: prefix,
      key: encoderKey,
      value: encoderValue,
      padding: encoderPadding,
    },
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
  return {
    ...taylorProblem(problem, {
      layout,
      normalize: true,
      counts: (token) => !padding?.[token],
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
  const { prefix, encoderKey, encoderValue, encoderPadding } = problem;
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
    counts: (token) => !encoderPadding?.[token],
  });
  return recurrentLinearAttention(features).state;
}

function checkPrefix(
  problem: PrefixLinearProblem,
  { sequences, tokens, valueHeadDim }: LinearGeometry,
): void {
  const { prefix, encoderKey, encoderValue } = problem;
  const { padding, encoderPadding } = problem;
  const { keyHeads, valueHeads, headDim } = problem;
  checkInteger("prefix", prefix, 0);
  const each = [sequences.length, prefix];
  checkLength("encoderKey", encoderKey, [...each, keyHeads, headDim]);
  checkLength("encoderValue", encoderValue, [
    ...each,
    valueHeads,
    valueHeadDim,
  ]);
  if (encoderPadding !== undefined) {
    checkLength("encoderPadding", encoderPadding, each);
  }
  if (padding !== undefined) checkLength("padding", padding, [tokens]);
  sequences.forEach(({ first, end }, n) => {
    let real = 0;
    for (let token = n * prefix; token < (n + 1) * prefix; token++) {
      if (!encoderPadding?.[token]) real++;
    }
    checkRange(
      real <= end - first,
      "prefix",
      `must be at most the ${end - first} tokens of sequence ${n}, but for ` +
        "what encoderPadding says is padding",
      real,
    );
  });
}

/**
 * Scores of blocks in float64: how much each block of queries attends to each
 * block of keys (SeerAttention, Gao et al. 2024, section 3.2). With `p_ij` the
 * weight of key `j` for query `i`, of blocks of `B` tokens,
 *
 * ```text
 * g_IJ = max over i in I and j in J of p_ij     G_IJ = g_IJ / sum_J g_IJ
 * ```
 *
 * where the maximum is over pairs that the mask lets through, and 0 of none. A
 * row of blocks without a pair stays 0.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import { softmaxOf } from "../attention.ts";
import { errorBound, type Gate, GATES, ROUNDOFF } from "../error_bound.ts";
import { geometryOf, type ReferenceProblem } from "../problem.ts";
import { seenScores } from "../scores.ts";

/**
 * Scores of blocks.
 *
 * @returns `[batch, queryHeads, queryBlocks, keyBlocks]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range.
 *
 * @example A query that sees two keys alike, in blocks of one
 * ```ts
 * import { blockScores } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const scores = blockScores({
 *   query: [0],
 *   key: [5, 7],
 *   value: [1, 2],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 * }, 1);
 * assertEquals([...scores], [0.5, 0.5]);
 * ```
 *
 * @category Reference
 */
export function blockScores(
  problem: ReferenceProblem,
  block: number,
): Float64Array {
  checkInteger("block", block, 1);
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads } = problem;
  const rows = Math.ceil(queryLength / block);
  const columns = Math.ceil(problem.keyLength / block);
  const out = new Float64Array(batch * queryHeads * rows * columns);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < queryHeads; h++) {
      for (let i = 0; i < queryLength; i++) {
        const { keys, scores } = seenScores(problem, geometry, { b, i, h });
        const { weights } = softmaxOf(scores);
        const row = (b * queryHeads + h) * rows + Math.floor(i / block);
        weights.forEach((weight, n) => {
          const at = row * columns + Math.floor(keys[n] / block);
          out[at] = Math.max(out[at], weight);
        });
      }
    }
  }
  for (let at = 0; at < out.length; at += columns) {
    const row = out.subarray(at, at + columns);
    const sum = row.reduce((total, score) => total + score, 0);
    if (sum > 0) row.forEach((score, n) => row[n] = score / sum);
  }
  return out;
}

/**
 * How far scores of blocks in float32 may be from float64, by what the
 * log-sum-exp may be off: with `n` keys and `T` blocks of them, and the bound
 * `lse` of {@linkcode errorBound}, a weight is off by a factor of `exp(e)` at
 * most, of which `exp` itself takes `3 + 2|x|` units in the last place,
 *
 * ```text
 * e <= 2 lse + 2 u (3 + 2 (1 + ln n))
 * |G - G64| <= exp(2 e) - 1 + (T + 2) u
 * ```
 *
 * since a score's own error is part of the log-sum-exp's, a row's largest weight
 * is at least `1 / n`, and what is far below it hardly counts: `x exp(-x) < 1`.
 *
 * @throws {RangeError} if a size is out of range.
 *
 * @example What a kernel may be off by
 * ```ts
 * import { blockScoresBound } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const bound = blockScoresBound({
 *   query: [0],
 *   key: [5, 7],
 *   value: [1, 2],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 * }, { block: 1, keys: 16 });
 * assert(bound > 0 && bound < 1e-5);
 * ```
 *
 * @category Error bounds
 */
export function blockScoresBound(
  problem: ReferenceProblem,
  { block, keys, gate = GATES.wgsl }: {
    block: number;
    keys: number;
    gate?: Gate;
  },
): number {
  const { lse } = errorBound(problem, { keys, gate });
  const length = Math.max(1, problem.keyLength);
  const exp = 2 * ROUNDOFF * (3 + 2 * (1 + Math.log(length)));
  const blocks = Math.ceil(length / block);
  return Math.expm1(2 * (2 * lse + exp)) + (blocks + 2) * ROUNDOFF;
}

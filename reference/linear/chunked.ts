/**
 * Linear attention and its gradients chunk by chunk, in float64.
 *
 * @module
 */

import {
  checkUpstream,
  type LinearBackwardProblem,
  type LinearGradients,
} from "./backward.ts";
import {
  type Arithmetic,
  type LinearChunkOptions,
  runChunks,
} from "./chunks.ts";
import { runChunksBackward } from "./chunks_backward.ts";
import {
  type LinearAttentionProblem,
  type LinearAttentionResult,
  linearGeometryOf,
} from "./problem.ts";

const FLOAT64: Arithmetic = {
  round: (x) => x,
  fma: (a, b, c) => a * b + c,
  lowestGate: -Infinity,
};

/**
 * Linear attention in float64 by chunks of tokens.
 *
 * @param problem Tensors, sizes, gates, and the state to start from.
 * @param options How sequences are cut; the result does not depend on it.
 * @returns The output, and the state after each sequence.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example Two chunks
 * ```ts
 * import { chunkedLinearAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output } = chunkedLinearAttention({
 *   query: [1, 1, 1],
 *   key: [1, 1, 1],
 *   value: [8, 4, 1],
 *   batch: 1,
 *   sequence: 3,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * }, { chunk: 2 });
 * assertEquals([...output], [8, 12, 13]);
 * ```
 *
 * @category Linear attention
 */
export function chunkedLinearAttention(
  problem: LinearAttentionProblem,
  options: LinearChunkOptions,
): LinearAttentionResult {
  const geometry = linearGeometryOf(problem);
  return runChunks(problem, geometry, { ...options, arithmetic: FLOAT64 });
}

/**
 * Gradients of linear attention in float64 by chunks of tokens, as backward
 * kernels have them.
 *
 * @param problem The problem, and the loss's derivatives with respect to its
 * results.
 * @param options How sequences are cut; the result does not depend on it.
 * @returns The gradients, each with the shape of its tensor.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example Two chunks; the loss is the second of two outputs
 * ```ts
 * import { chunkedLinearAttentionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { keyGradient } = chunkedLinearAttentionBackward({
 *   query: [1, 3],
 *   key: [2, 5],
 *   value: [8, 4],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 *   outputGradient: [0, 1],
 * }, { chunk: 1 });
 * assertEquals([...keyGradient], [24, 12]);
 * ```
 *
 * @category Linear attention
 */
export function chunkedLinearAttentionBackward(
  problem: LinearBackwardProblem,
  options: LinearChunkOptions,
): LinearGradients<Float64Array> {
  const geometry = linearGeometryOf(problem);
  checkUpstream(problem, geometry);
  const arithmetic = FLOAT64;
  return runChunksBackward(problem, geometry, { ...options, arithmetic });
}

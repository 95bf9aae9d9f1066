/**
 * Gradients of attention over sequences that are packed without padding, or
 * whose keys lie in blocks: those of each sequence by itself.
 *
 * @module
 */

import {
  attentionBackward,
  type BackwardResult,
  checkScoreDerivative,
  type UpstreamGradients,
} from "./attention_backward.ts";
import { gathered, type PagedAttentionProblem } from "./paged.ts";
import { checkLength } from "./problem.ts";
import { type RaggedAttentionProblem, rows, sequencesOf } from "./ragged.ts";

/**
 * A ragged problem with what the loss sends back.
 *
 * @category Gradients
 */
export interface RaggedBackwardProblem
  extends RaggedAttentionProblem, UpstreamGradients {}

/**
 * A paged problem with what the loss sends back.
 *
 * @category Gradients
 */
export interface PagedBackwardProblem
  extends PagedAttentionProblem, UpstreamGradients {}

/**
 * Gradients of ragged attention in float64: one dense call for each sequence.
 * The functions receive the sequence's index as `batch`.
 *
 * @param problem The problem of `raggedAttention`, `outputGradient`
 * `[queryTokens, queryHeads, valueHeadDim]` and `lseGradient`
 * `[queryTokens, queryHeads]`.
 * @returns The gradients, each with the shape of its packed tensor.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if the sequences' starts decrease, or a size is out of
 * range.
 *
 * @example Sequences of one and two tokens; the loss is the output
 * ```ts
 * import { raggedAttentionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { valueGradient } = raggedAttentionBackward({
 *   query: [0, 0, 0],
 *   key: [0, 0, 0],
 *   value: [5, 1, 3],
 *   cuSeqlensQuery: [0, 1, 3],
 *   cuSeqlensKey: [0, 1, 3],
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   outputGradient: [1, 1, 1],
 * });
 * assertEquals([...valueGradient], [1, 1, 1]);
 * ```
 *
 * @category Gradients
 */
export function raggedAttentionBackward(
  problem: RaggedBackwardProblem,
): BackwardResult {
  const { parts, queryTokens, queryHeads, valueHeadDim } = sequencesOf(problem);
  checkScoreDerivative(problem);
  const { kvHeads, headDim, outputGradient, lseGradient } = problem;
  const { scoreDerivative, onScoreGradient } = problem;
  const outputShape = [queryTokens, queryHeads, valueHeadDim];
  checkLength("outputGradient", outputGradient, outputShape);
  if (lseGradient) {
    checkLength("lseGradient", lseGradient, [queryTokens, queryHeads]);
  }
  const queryGradient = new Float64Array(problem.query.length);
  const keyGradient = new Float64Array(problem.key.length);
  const valueGradient = new Float64Array(problem.value.length);

  parts.forEach(({ dense, firstQuery, firstKey }, b) => {
    const endQuery = firstQuery + dense.queryLength;
    const own = (array: ArrayLike<number>, width: number) =>
      rows(array, firstQuery, endQuery, width);
    const one = attentionBackward({
      ...dense,
      outputGradient: own(outputGradient, queryHeads * valueHeadDim),
      lseGradient: lseGradient && own(lseGradient, queryHeads),
      scoreDerivative: scoreDerivative &&
        ((s, _, h, i, j) => scoreDerivative(s, b, h, i, j)),
      onScoreGradient: onScoreGradient &&
        ((ds, s, _, h, i, j) => onScoreGradient(ds, s, b, h, i, j)),
    });
    queryGradient.set(one.queryGradient, firstQuery * queryHeads * headDim);
    keyGradient.set(one.keyGradient, firstKey * kvHeads * headDim);
    valueGradient.set(one.valueGradient, firstKey * kvHeads * valueHeadDim);
  });
  return { queryGradient, keyGradient, valueGradient };
}

/**
 * Gradients of paged attention in float64. Those of keys and values are by
 * sequence, not by block: `[keyTokens, kvHeads, headDim]`, the sequences'
 * written keys one after another. Where sequences share a block, each has its
 * own gradient with respect to it, and the block's is their sum.
 *
 * @param problem The problem of `pagedAttention`, and what the loss sends back,
 * as in {@linkcode raggedAttentionBackward}.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a used table entry is no block, a length is past the
 * table's capacity, or a size is out of range.
 *
 * @example Two keys in block 1; the loss is the output
 * ```ts
 * import { pagedAttentionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { valueGradient } = pagedAttentionBackward({
 *   query: [0],
 *   keyBlocks: [99, 99, 0, 0],
 *   valueBlocks: [99, 99, 1, 4],
 *   numBlocks: 2,
 *   blockSize: 2,
 *   blockTable: [1],
 *   maxBlocks: 1,
 *   keyLengths: [2],
 *   cuSeqlensQuery: [0, 1],
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   outputGradient: [1],
 * });
 * assertEquals([...valueGradient], [0.5, 0.5]);
 * ```
 *
 * @category Gradients
 */
export function pagedAttentionBackward(
  problem: PagedBackwardProblem,
): BackwardResult {
  return raggedAttentionBackward(gathered(problem));
}

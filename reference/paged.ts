/**
 * Attention over keys and values that lie in blocks ("pages"). The block table
 * says where: key `j` of sequence `b` is in block
 * `blockTable[b, floor(j / blockSize)]`, at slot `j mod blockSize`
 * (PagedAttention, Kwon et al. 2023).
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import {
  checkHeads,
  checkLength,
  type HeadOptions,
  type ReferenceResult,
} from "./problem.ts";
import {
  checkCuSeqlens,
  raggedAttention,
  type RaggedAttentionProblem,
} from "./ragged.ts";

/**
 * One paged attention problem.
 *
 * @category Reference
 */
export interface PagedAttentionProblem extends HeadOptions {
  /** `[queryTokens, queryHeads, headDim]`. */
  query: ArrayLike<number>;
  /** `[numBlocks, blockSize, kvHeads, headDim]`. */
  keyBlocks: ArrayLike<number>;
  /** `[numBlocks, blockSize, kvHeads, valueHeadDim]`. */
  valueBlocks: ArrayLike<number>;
  /** Blocks in `keyBlocks` and `valueBlocks`. */
  numBlocks: number;
  /** Tokens in one block. */
  blockSize: number;
  /** Which blocks hold each sequence's keys; `[sequences, maxBlocks]`. */
  blockTable: ArrayLike<number>;
  /** Entries in one row of the block table. */
  maxBlocks: number;
  /** Keys of each sequence, as written; `[sequences]`. */
  keyLengths: ArrayLike<number>;
  /** Where each sequence's queries start, then the end; `[sequences + 1]`. */
  cuSeqlensQuery: ArrayLike<number>;
}

/**
 * Paged attention in float64: gathers each sequence's keys and values, then
 * attends to them. Entries of the block table past a sequence's last key, and
 * slots past its last key, are never read.
 *
 * @param problem Blocks, the table over them, and ragged queries.
 * @returns Output `[queryTokens, queryHeads, valueHeadDim]` and log-sum-exp
 * `[queryTokens, queryHeads]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a used table entry is no block, a length is past the
 * table's capacity, or a size is out of range.
 *
 * @example Three keys in blocks 2 and 0
 * ```ts
 * import { pagedAttention } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { output } = pagedAttention({
 *   query: [0],
 *   keyBlocks: new Float64Array(6),
 *   valueBlocks: [7, 99, 99, 99, 1, 4],
 *   numBlocks: 3,
 *   blockSize: 2,
 *   blockTable: [2, 0],
 *   maxBlocks: 2,
 *   keyLengths: [3],
 *   cuSeqlensQuery: [0, 1],
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 * });
 * assertAlmostEquals(output[0], 4, 1e-12); // of 1, 4 and 7
 * ```
 *
 * @category Reference
 */
export function pagedAttention(
  problem: PagedAttentionProblem,
): ReferenceResult {
  return raggedAttention(gathered(problem));
}

/**
 * A paged problem with its keys and values gathered: those that its sequences
 * have written, one sequence after another.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a used table entry is no block, a length is past the
 * table's capacity, or a size is out of range.
 */
export function gathered<P extends PagedAttentionProblem>(
  problem: P,
): P & RaggedAttentionProblem {
  checkPaged(problem);
  const { kvHeads, headDim, valueHeadDim = headDim, keyLengths } = problem;
  const cuSeqlensKey = [0];
  for (let b = 0; b < keyLengths.length; b++) {
    cuSeqlensKey.push(cuSeqlensKey[b] + keyLengths[b]);
  }
  return {
    ...problem,
    key: gather(problem, problem.keyBlocks, kvHeads * headDim),
    value: gather(problem, problem.valueBlocks, kvHeads * valueHeadDim),
    cuSeqlensKey,
  };
}

/** The written tokens of every sequence, one after another. */
function gather(
  problem: PagedAttentionProblem,
  blocks: ArrayLike<number>,
  tokenSize: number,
): Float64Array {
  const { blockSize, blockTable, maxBlocks, keyLengths } = problem;
  let tokens = 0;
  for (let b = 0; b < keyLengths.length; b++) tokens += keyLengths[b];
  const out = new Float64Array(tokens * tokenSize);
  let at = 0;
  for (let b = 0; b < keyLengths.length; b++) {
    for (let j = 0; j < keyLengths[b]; j++) {
      const block = blockTable[b * maxBlocks + Math.floor(j / blockSize)];
      const slot = block * blockSize + j % blockSize;
      for (let t = 0; t < tokenSize; t++) {
        out[at++] = blocks[slot * tokenSize + t];
      }
    }
  }
  return out;
}

function checkPaged(problem: PagedAttentionProblem): void {
  checkHeads(problem);
  const { numBlocks, blockSize, maxBlocks, blockTable, keyLengths } = problem;
  const { kvHeads, headDim, valueHeadDim = headDim } = problem;
  checkInteger("numBlocks", numBlocks, 0);
  checkInteger("blockSize", blockSize, 1);
  checkInteger("maxBlocks", maxBlocks, 0);
  const sequences = checkCuSeqlens("cuSeqlensQuery", problem.cuSeqlensQuery);
  checkLength("keyLengths", keyLengths, [sequences]);
  checkLength("blockTable", blockTable, [sequences, maxBlocks]);
  const slots = [numBlocks, blockSize, kvHeads];
  checkLength("keyBlocks", problem.keyBlocks, [...slots, headDim]);
  checkLength("valueBlocks", problem.valueBlocks, [...slots, valueHeadDim]);
  for (let b = 0; b < sequences; b++) {
    const capacity = maxBlocks * blockSize;
    checkInteger(`keyLengths[${b}]`, keyLengths[b], 0, capacity);
    for (let n = 0; n < Math.ceil(keyLengths[b] / blockSize); n++) {
      const entry = blockTable[b * maxBlocks + n];
      checkInteger(`blockTable[${b}, ${n}]`, entry, 0, numBlocks - 1);
    }
  }
}

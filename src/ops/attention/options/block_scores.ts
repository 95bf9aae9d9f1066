/**
 * The option that asks for scores of blocks.
 *
 * @module
 */

import { checkInteger, checkType } from "../../../core/check.ts";
import { checkOptions, type OptionHints } from "../../../core/options.ts";
import type { BlockScoresShape, SequenceShape } from "../problem.ts";

/**
 * Scores of blocks, beside the output: how much each block of queries attends to
 * each block of keys, which is what a block gate learns (SeerAttention, Gao et
 * al. 2024, section 3.2).
 *
 * @category Attention
 */
export interface BlockScoresOptions {
  /** Queries, and keys, of a block; each sequence's begin with its first. */
  readonly block: number;
}

const HINTS: OptionHints = {
  blockSize: "write block",
  queryBlock: "write block, which is that of keys, too",
  keyBlock: "write block, which is that of queries, too",
};

/**
 * Their sizes, if they are asked for.
 *
 * @throws {TypeError} if it is not an object with a block
 * @throws {RangeError} if the block is not an integer >= 1
 */
export function blockScoresShape(
  options: BlockScoresOptions | undefined,
  sequences: readonly SequenceShape[],
): BlockScoresShape | undefined {
  if (options === undefined) return undefined;
  checkType(
    typeof options === "object" && options !== null,
    "blockScores",
    "must be { block }, queries and keys of a block",
    options,
  );
  checkOptions("blockScores", options, { known: ["block"], hints: HINTS });
  const { block } = options;
  checkInteger("blockScores.block", block, 1, 2 ** 30);
  const most = (counts: readonly number[]) =>
    Math.ceil(counts.reduce((a, b) => Math.max(a, b), 0) / block);
  return {
    block,
    queryBlocks: most(sequences.map(({ queryCount }) => queryCount)),
    keyBlocks: most(sequences.map(({ keyCount }) => keyCount)),
  };
}

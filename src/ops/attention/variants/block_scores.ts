/**
 * Scores of blocks as a by-product of the forward kernel: what is cleared before
 * it, and what makes scores of its maxima after it.
 *
 * @module
 */

import { BLOCK_MAXIMA } from "../../../../kernels/attention/block_maxima.ts";
import {
  blockScoresKernel,
  blockScoresLoops,
} from "../../../../kernels/attention/block_scores.ts";
import { CLEAR_LANES, clearKernel } from "../../../../kernels/clear.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import type { AttentionProblem } from "../problem.ts";
import { maximaElements, stridedQueries } from "../rows.ts";
import { largest, type TileDispatch } from "./algorithm.ts";
import type { PlanDevice } from "./variant.ts";

/** What scores of blocks take besides the forward kernel. */
export interface BlockScoresParts {
  /** Dispatches before it. */
  readonly before: readonly TileDispatch[];
  /** Dispatches after it and its merges. */
  readonly after: readonly TileDispatch[];
  /** Uniforms of all of them. */
  readonly uniforms: Readonly<Record<string, number>>;
  /** Bytes of scratch. */
  readonly scratch: Readonly<Record<string, number>>;
}

const NOTHING: BlockScoresParts = {
  before: [],
  after: [],
  uniforms: {},
  scratch: {},
};

function blockUniforms(block: number, blocks: number): Record<string, number> {
  return { score_block: block, score_blocks: blocks };
}

/**
 * The parts of a problem's scores of blocks; none where none are asked for.
 *
 * @throws {UnsupportedError} if the adapter would end the loops over a block
 */
export function blockScoresParts(
  problem: AttentionProblem,
  { maxLoopIterations: limit }: PlanDevice,
): BlockScoresParts {
  const { blockScores, sequences, queryHeads } = problem;
  if (!blockScores) return NOTHING;
  const { block, queryBlocks, keyBlocks } = blockScores;
  const queries = Math.min(
    block,
    largest(sequences.map(({ queryCount }) => queryCount)),
  );
  const loops = blockScoresLoops(keyBlocks, queries);
  if (loops > limit) {
    throw new UnsupportedError(
      `score blocks of ${block} tokens`,
      `its loops take up to ${loops} iterations, and this adapter ends them after ${limit}; use other blocks`,
    );
  }
  const words = maximaElements(problem);
  const uniforms = blockUniforms(block, keyBlocks);
  const own = { tile: undefined, tilesAt: 0 };
  return {
    before: [{
      ...own,
      source: clearKernel({
        label: "attention.block_maxima.clear/u32",
        binding: BLOCK_MAXIMA,
      }),
      groups: Math.ceil(words / CLEAR_LANES),
      heads: 1,
      uniforms: { words },
    }],
    after: [{
      ...own,
      source: blockScoresKernel({ stridedQueries: stridedQueries(problem) }),
      groups: keyBlocks === 0 ? 0 : sequences.length * queryBlocks,
      heads: queryHeads,
      uniforms: { ...uniforms, score_rows: queryBlocks },
    }],
    uniforms,
    // Where there is no key, it is bound all the same.
    scratch: { [BLOCK_MAXIMA]: 4 * Math.max(1, words) },
  };
}

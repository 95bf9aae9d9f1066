/**
 * What must hold in a pool of extents at any time, as checks over its plain
 * state, so that a test can hand them broken state.
 *
 * @module
 */

import type { Extent } from "./extent_types.ts";
import { type BlockRun, endOf } from "./free_extents.ts";
import { invariant } from "../../core/invariant.ts";

/** The whole state of an extent pool. */
export interface ExtentState {
  /** Blocks in all. */
  readonly totalBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Free runs, in order of place. */
  readonly free: readonly BlockRun[];
  /** Blocks that are said to be free. */
  readonly freeBlocks: number;
  /** Extents in use, in any order. */
  readonly live: readonly Extent[];
  /** The most blocks that were ever in use at once. */
  readonly peakUsedBlocks: number;
}

const text = (run: BlockRun) => `${run.blocks} blocks from ${run.start} on`;

/**
 * Checks everything that an extent pool promises: free runs and extents cover
 * every block exactly once; free runs are in order, not empty and do not
 * touch; no extent holds more tokens than it has room for; the counts are
 * those of the runs.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyExtents(state: ExtentState): void {
  const { totalBlocks, free, live, peakUsedBlocks } = state;
  free.forEach((run, i) => {
    invariant(run.blocks > 0, "a free run has a block", text(run));
    invariant(
      i === 0 || endOf(free[i - 1]) < run.start,
      "free runs are in order and do not touch",
      `${text(free[i - 1] ?? run)}, then ${text(run)}`,
    );
  });
  verifyTiling(totalBlocks, [...free, ...live.filter((run) => run.blocks > 0)]);
  for (const extent of live) {
    const { start, blocks, tokens } = extent;
    invariant(
      blocks > 0 || start === 0,
      "an extent without blocks is at 0",
      text(extent),
    );
    invariant(
      tokens >= 0 && tokens <= blocks * state.blockSize,
      "an extent has room for its tokens",
      `${tokens} tokens in ${text(extent)}`,
    );
  }
  const freeBlocks = free.reduce((sum, { blocks }) => sum + blocks, 0);
  invariant(
    state.freeBlocks === freeBlocks,
    "free blocks are those of the free runs",
    `${state.freeBlocks} said, ${freeBlocks} counted`,
  );
  invariant(
    peakUsedBlocks >= totalBlocks - freeBlocks && peakUsedBlocks <= totalBlocks,
    "used <= peak <= total",
    `${freeBlocks} free, peak ${peakUsedBlocks}, ${totalBlocks} in all`,
  );
}

function verifyTiling(totalBlocks: number, runs: readonly BlockRun[]): void {
  let next = 0;
  for (const run of runs.toSorted((a, b) => a.start - b.start)) {
    invariant(
      run.start === next,
      "every block is free or in one extent",
      `${text(run)}, where ${next} comes next`,
    );
    next = endOf(run);
  }
  invariant(
    next === totalBlocks,
    "every block is free or in one extent",
    `the runs end at ${next} of ${totalBlocks}`,
  );
}

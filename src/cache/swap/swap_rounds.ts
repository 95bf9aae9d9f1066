/**
 * A transfer in rounds, so that what is on the way is bounded.
 *
 * @module
 */

import type { SwapMoves } from "./swap_moves.ts";

/** How a transfer is made in rounds. */
export interface SwapRounds<T> {
  /** Blocks of a round at most. */
  readonly size: number;
  /** Throws where the transfer must not go on. */
  readonly check: () => void;
  /** Begins to move the blocks of a round. */
  readonly begin: (round: SwapMoves) => Promise<T>;
  /** Takes what came of a round. */
  readonly end: (round: SwapMoves, result: T) => void;
}

/**
 * Makes two rounds at a time, and ends them in order. Where it rejects, no
 * round is under way any more.
 */
export async function swapRounds<T>(
  { direction, blocks, slots }: SwapMoves,
  { size, check, begin, end }: SwapRounds<T>,
): Promise<void> {
  let last: (() => Promise<void>) | undefined;
  let settled: Promise<void> | undefined;
  try {
    for (let at = 0; at < slots.length; at += size) {
      check();
      const round = {
        direction,
        blocks: blocks.slice(at, at + size),
        slots: slots.slice(at, at + size),
      };
      const begun = begin(round);
      settled = begun.then(() => {}, () => {});
      await last?.();
      last = async () => {
        const result = await begun;
        check();
        end(round, result);
      };
    }
    await last?.();
  } finally {
    await settled;
  }
}

/**
 * The slots of recurrent states: which are free, and how many hold each.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { type OutOfBlocksError, OutOfStatesError } from "../../core/errors.ts";
import { checkOptions } from "../../core/options.ts";
import {
  BlockPool,
  DEFAULT_BLOCK_SIZE,
  NULL_BLOCK,
} from "../block/block_pool.ts";

/**
 * The slot of the null state, which is never allocated: it reads as zeros, the
 * state before the first token.
 *
 * @category Cache
 */
export const NULL_STATE: number = NULL_BLOCK;

/**
 * How large a `StatePool` is.
 *
 * @category Cache
 */
export interface StatePoolOptions {
  /** Slots in all, the null state's included: at least 2. */
  readonly numStates: number;
  /**
   * Tokens from one place where a state can be found again to the next: those
   * of a block of the keys and values beside it. Defaults to 16.
   */
  readonly blockSize?: number;
}

/**
 * A fixed set of slots, each for one state of fixed size: what a recurrent
 * layer keeps of all tokens so far, with no buffer behind it.
 *
 * It is a block pool whose every block is one state, so everything that holds
 * for blocks holds for slots: the order in which they are handed out, reference
 * counts, and what an index finds until it is evicted. A `PrefixIndex` over it
 * finds the state at the end of a prefix, where one over blocks finds all
 * blocks of it.
 *
 * @example
 * ```ts
 * import { StatePool } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new StatePool({ numStates: 9, blockSize: 16 });
 * const [slot] = pool.allocate(1);
 * assertEquals([slot, pool.freeBlocks], [1, 7]);
 * pool.release(slot);
 * pool.verify();
 * ```
 *
 * @category Cache
 */
export class StatePool extends BlockPool {
  /**
   * Makes a pool with every slot free; the first slots are 1, 2, 3, ...
   *
   * @throws {TypeError} if a size is not a number.
   * @throws {RangeError} if `numStates` is not an integer in `2..2**31 - 1`, or
   * `blockSize` is not an integer >= 1.
   */
  constructor(options: StatePoolOptions) {
    checkOptions("a state pool", options, {
      known: ["numStates", "blockSize"],
      hints: { numBlocks: "write numStates", numSlots: "write numStates" },
    });
    const { numStates, blockSize = DEFAULT_BLOCK_SIZE } = options;
    checkInteger("numStates", numStates, 2, 2 ** 31 - 1);
    super({ numBlocks: numStates, blockSize });
  }

  /** The error of a pool that has too few slots; it is not thrown. */
  override shortage(
    counts: { needed: number; free: number; evictable: number },
  ): OutOfBlocksError {
    return new OutOfStatesError(counts);
  }
}

/**
 * What a block pool is given, and what it gives its index.
 *
 * @module
 */

/**
 * What else one `BlockPool.allocate()` does at the same time.
 *
 * @category Cache
 */
export interface AllocateOptions {
  /**
   * Blocks to hold once more each, in use or free: a free one leaves the free
   * list with what lies in it.
   */
  readonly reuse?: readonly number[];
  /**
   * Holds to give back first, in this order, so that the blocks that become
   * free can be handed out again at once. An id counts as often as it is named.
   */
  readonly release?: readonly number[];
}

/**
 * The right to say which blocks hold something that can be found again, given
 * to the one index of a pool.
 *
 * @category Cache
 */
export interface CacheMarks {
  /** Marks a block in use as cached. */
  mark(id: number): void;
  /** Takes the mark off; a free block becomes the next to be handed out. */
  unmark(id: number): void;
}

/**
 * How large a `BlockPool` is.
 *
 * @category Cache
 */
export interface BlockPoolOptions {
  /** Blocks in all, the null block included: at least 2. */
  readonly numBlocks: number;
  /** Tokens per block, at least 1. Defaults to 16. */
  readonly blockSize?: number;
}

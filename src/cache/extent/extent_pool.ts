/**
 * Contiguous space for sequences whose keys must lie in order.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { OutOfBlocksError } from "../../core/errors.ts";
import { checkPoolSize } from "../block/pool_size.ts";
import type { BlockPoolOptions } from "../block/pool_types.ts";
import type { BlockCopy } from "../block/table_types.ts";
import { verifyExtents } from "./extent_invariants.ts";
import type { Extent, ExtentSize, ExtentStats } from "./extent_types.ts";
import { type BlockRun, FreeExtents } from "./free_extents.ts";

interface MutableExtent {
  start: number;
  blocks: number;
  tokens: number;
}

/**
 * A fixed number of blocks, given out as extents: runs of consecutive blocks
 * that grow in place while what follows them is free, and move where it is
 * not. The counterpart of a {@linkcode BlockPool} for kernels that read keys in
 * order; nothing is shared, and no block is the null block.
 *
 * A move goes to the best fit: the shortest run of free blocks that is long
 * enough, the first of several, where the extent's own blocks count as free.
 *
 * Every operation succeeds, or throws and changes nothing.
 *
 * @example
 * ```ts
 * import { ExtentPool } from "@quire/attention/cache";
 *
 * const pool = new ExtentPool({ numBlocks: 8, blockSize: 4 });
 * const first = pool.allocate({ blocks: 2, tokens: 8 }); // blocks 0 and 1
 * pool.allocate({ blocks: 1, tokens: 1 }); // block 2
 * const copies = pool.resize(first, { blocks: 3, tokens: 9 });
 * // [{ source: 0, destination: 3, rows: 4 }, { source: 1, destination: 4, rows: 4 }]
 * pool.release(first);
 * pool.verify();
 * ```
 *
 * @category Cache
 */
export class ExtentPool {
  readonly #free: FreeExtents;
  readonly #live = new Set<MutableExtent>();
  readonly #totalBlocks: number;
  readonly #blockSize: number;
  #peakUsedBlocks = 0;
  #relocations = 0;
  #relocated = 0;

  /**
   * Makes a pool with every block free.
   *
   * @throws {TypeError} if a size is not a number.
   * @throws {RangeError} if one is not an integer >= 1, or a slot would not fit
   * in a `u32`.
   */
  constructor(options: BlockPoolOptions) {
    const { numBlocks, blockSize } = checkPoolSize(options, { fewest: 1 });
    this.#free = new FreeExtents(numBlocks);
    this.#totalBlocks = numBlocks;
    this.#blockSize = blockSize;
  }

  /** Tokens per block. */
  get blockSize(): number {
    return this.#blockSize;
  }

  /** Blocks in all. */
  get totalBlocks(): number {
    return this.#totalBlocks;
  }

  /** Blocks that are in no extent. */
  get freeBlocks(): number {
    return this.#free.blocks;
  }

  /** Blocks of the largest free run: what an extent can have without a move. */
  get largestFree(): number {
    return this.#free.largest;
  }

  /** Blocks in extents. */
  get usedBlocks(): number {
    return this.#totalBlocks - this.#free.blocks;
  }

  /** The most blocks that were ever in extents at once. */
  get peakUsedBlocks(): number {
    return this.#peakUsedBlocks;
  }

  /** Free runs, in order of place. */
  freeRuns(): BlockRun[] {
    return this.#free.runs.map((run) => ({ ...run }));
  }

  /** What is reserved, used and wasted now. */
  stats(): ExtentStats {
    const reserved = this.usedBlocks * this.#blockSize;
    let used = 0;
    for (const { tokens } of this.#live) used += tokens;
    return {
      extents: this.#live.size,
      reserved,
      used,
      internal: reserved - used,
      free: this.freeBlocks * this.#blockSize,
      external: (this.freeBlocks - this.largestFree) * this.#blockSize,
      relocations: this.#relocations,
      relocated: this.#relocated,
    };
  }

  /**
   * Takes an extent, which may have no blocks at first.
   *
   * @throws {TypeError} if a size is not a number.
   * @throws {RangeError} if a size is not an integer >= 0, or the tokens are
   * more than fit in the blocks.
   * @throws {OutOfBlocksError} if no run of free blocks is long enough.
   */
  allocate(size: ExtentSize): Extent {
    const extent = { start: 0, blocks: 0, tokens: 0 };
    this.#checkSize(size);
    this.#place(extent, size);
    this.#live.add(extent);
    return extent;
  }

  /**
   * Changes an extent's size. It stays where it is if it shrinks, or what
   * follows it is free as far as needed; else it moves.
   *
   * @returns Copies of its rows to carry out in order, none if it has
   * not moved. A later one may write what an earlier one has read.
   * @throws {TypeError} if it is not an extent of the pool in use, or a size is
   * not a number.
   * @throws {RangeError} if a size is not an integer >= 0, or the tokens are
   * more than fit in the blocks.
   * @throws {OutOfBlocksError} if no run of free blocks is long enough. Where
   * as many are free in all, {@linkcode ExtentPool.compact} helps.
   */
  resize(extent: Extent, size: ExtentSize): BlockCopy[] {
    const own = this.#checkLive(extent);
    this.#checkSize(size);
    if (own.blocks !== size.blocks) return this.#place(own, size);
    own.tokens = size.tokens;
    return [];
  }

  /**
   * Gives an extent's blocks back.
   *
   * @throws {TypeError} if it is not an extent of the pool in use.
   */
  release(extent: Extent): void {
    const own = this.#checkLive(extent);
    this.#free.give(own);
    this.#live.delete(own);
  }

  /**
   * Moves extents down over the free runs between them, so that all free blocks
   * become one run at the end.
   *
   * @returns Copies of all rows that moved, to carry out in order.
   */
  compact(): BlockCopy[] {
    const copies: BlockCopy[] = [];
    let next = 0;
    for (const extent of this.#inOrder()) {
      this.#free.give(extent);
      const moved = this.#move(extent, { ...extent, start: next });
      for (const copy of moved) copies.push(copy);
      next += extent.blocks;
    }
    return copies;
  }

  /**
   * Checks every invariant of the pool.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    verifyExtents({
      totalBlocks: this.#totalBlocks,
      blockSize: this.#blockSize,
      free: this.#free.runs,
      freeBlocks: this.#free.blocks,
      live: [...this.#live],
      peakUsedBlocks: this.#peakUsedBlocks,
    });
  }

  /** Extents with blocks, in order of place. */
  #inOrder(): MutableExtent[] {
    return [...this.#live].filter(({ blocks }) => blocks > 0)
      .sort((a, b) => a.start - b.start);
  }

  /** Finds a place for an extent at its new size, and moves it there. */
  #place(extent: MutableExtent, { blocks, tokens }: ExtentSize): BlockCopy[] {
    this.#free.give(extent);
    const start = this.#startFor(extent, blocks);
    if (start === undefined) {
      this.#free.take(extent);
      const { blocks: free, largest } = this.#free;
      throw new OutOfBlocksError({ needed: blocks, free, largest });
    }
    return this.#move(extent, { start, blocks, tokens });
  }

  /** Where an extent of which the blocks are given back goes, if anywhere. */
  #startFor({ start, blocks }: BlockRun, wanted: number): number | undefined {
    if (wanted === 0) return 0;
    const stays = blocks > 0 && this.#free.covers({ start, blocks: wanted });
    return stays ? start : this.#free.bestFit(wanted)?.start;
  }

  /** Moves an extent of which the blocks are given back; gives the copies. */
  #move(extent: MutableExtent, to: Extent): BlockCopy[] {
    this.#free.take(to);
    const rows = to.start === extent.start
      ? 0
      : Math.min(extent.tokens, to.tokens);
    const copies = blockCopies(extent.start, to.start, {
      rows,
      blockSize: this.#blockSize,
    });
    Object.assign(extent, to);
    this.#peakUsedBlocks = Math.max(this.#peakUsedBlocks, this.usedBlocks);
    this.#relocations += rows > 0 ? 1 : 0;
    this.#relocated += rows;
    return copies;
  }

  #checkLive(extent: Extent): MutableExtent {
    checkType(
      this.#live.has(extent),
      "extent",
      "must be an extent of the pool in use",
      extent,
    );
    return extent;
  }

  #checkSize({ blocks, tokens }: ExtentSize): void {
    checkInteger("blocks", blocks, 0);
    checkInteger("tokens", tokens, 0);
    checkRange(
      tokens <= blocks * this.#blockSize,
      "tokens",
      `must be at most what ${blocks} blocks hold`,
      tokens,
    );
  }
}

/**
 * Copies of the first `rows` rows from one run of blocks to another, in order.
 * The two may overlap where the destination comes first.
 */
export function blockCopies(
  source: number,
  destination: number,
  { rows, blockSize }: { readonly rows: number; readonly blockSize: number },
): BlockCopy[] {
  return Array.from({ length: Math.ceil(rows / blockSize) }, (_, i) => ({
    source: source + i,
    destination: destination + i,
    rows: Math.min(blockSize, rows - i * blockSize),
  }));
}

/**
 * The blocks of a KV cache: which are free, and how many hold each.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { OutOfBlocksError } from "../../core/errors.ts";
import { FreeList } from "./free_list.ts";
import { verifyPool } from "./pool_invariants.ts";
import { checkRoom } from "./pool_room.ts";
import { checkPoolSize } from "./pool_size.ts";
import type {
  AllocateOptions,
  BlockPoolOptions,
  CacheMarks,
} from "./pool_types.ts";

export { DEFAULT_BLOCK_SIZE } from "./pool_size.ts";
export type {
  AllocateOptions,
  BlockPoolOptions,
  CacheMarks,
} from "./pool_types.ts";

/**
 * The id of the null block. It is never allocated, and it pads block tables.
 *
 * @category Cache
 */
export const NULL_BLOCK = 0;

/**
 * A fixed set of blocks with reference counts: the allocator of PagedAttention
 * (Kwon et al. 2023, section 4.3), with no buffer behind it.
 *
 * Blocks are allocated from the front of the free list and return to its back,
 * so a freed block keeps what lies in it for as long as any longer-freed one
 * is left. A prefix index builds on that order: its blocks stay free *and*
 * findable until they are handed out again, and evicting is just allocating.
 * A pool without an index has nothing evictable. With one, a released block
 * that holds nothing findable goes to the front instead: no cached block is
 * evicted while another is free.
 *
 * Every operation succeeds, or throws and changes nothing.
 *
 * @example
 * ```ts
 * import { BlockPool } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 5, blockSize: 16 });
 * const blocks = pool.allocate(3); // [1, 2, 3]
 * pool.retain(blocks[0]);
 * pool.release(blocks[0]); // still held once
 * pool.release(blocks[0]); // free again
 * pool.verify();
 * ```
 *
 * @category Cache
 */
export class BlockPool {
  readonly #free: FreeList;
  readonly #references: Uint32Array;
  readonly #blockSize: number;
  readonly #cached: Uint8Array;
  #onEvict: ((id: number) => void) | undefined;
  #onFree: (id: number) => boolean = () => true;
  #evictableBlocks = 0;
  #usedBlocks = 0;
  #peakUsedBlocks = 0;

  /**
   * Makes a pool with every block free; the first blocks are 1, 2, 3, ...
   *
   * @throws {TypeError} if a size is not a number.
   * @throws {RangeError} if `numBlocks` is not an integer in `2..2**31 - 1`,
   * `blockSize` is not an integer >= 1, or a slot would not fit in a `u32`.
   */
  constructor(options: BlockPoolOptions) {
    const { numBlocks, blockSize } = checkPoolSize(options, { fewest: 2 });
    this.#free = new FreeList(numBlocks - 1);
    this.#references = new Uint32Array(numBlocks);
    this.#cached = new Uint8Array(numBlocks);
    this.#blockSize = blockSize;
  }

  /** Tokens per block. */
  get blockSize(): number {
    return this.#blockSize;
  }

  /** Blocks that can be in use at once: all but the null block. */
  get totalBlocks(): number {
    return this.#references.length - 1;
  }

  /** Blocks that no one holds, those that an index still finds included. */
  get freeBlocks(): number {
    return this.#free.length;
  }

  /** Free blocks whose content an index still finds. */
  get evictableBlocks(): number {
    return this.#evictableBlocks;
  }

  /** Blocks that at least one table holds. */
  get usedBlocks(): number {
    return this.#usedBlocks;
  }

  /** The most blocks that were ever in use at once. */
  get peakUsedBlocks(): number {
    return this.#peakUsedBlocks;
  }

  /** Free blocks, in the order in which they will be handed out. */
  freeOrder(): number[] {
    return [...this.#free];
  }

  /**
   * How many hold the block: 0 if it is free, and 0 for the null block.
   *
   * @throws {TypeError} if `id` is not a number.
   * @throws {RangeError} if `id` is not an integer in `0..totalBlocks`.
   */
  refCount(id: number): number {
    checkInteger("id", id, 0, this.totalBlocks);
    return this.#references[id];
  }

  /**
   * Says whether an index finds what lies in the block. Such a block must not
   * be written.
   *
   * @throws {TypeError} if `id` is not a number.
   * @throws {RangeError} if `id` is not an integer in `0..totalBlocks`.
   */
  isCached(id: number): boolean {
    checkInteger("id", id, 0, this.totalBlocks);
    return this.#cached[id] === 1;
  }

  /**
   * Lets one index mark the blocks whose content it finds.
   *
   * @param onEvict Called with each marked block that is handed out again, once
   * its mark is off. It must not throw, nor call the pool.
   * @param onFree Called with each marked block that its last holder gave back,
   * and says whether it stays marked; by default it does. It must not throw,
   * nor call the pool.
   * @throws {TypeError} if the pool has an index already.
   */
  attachIndex(
    onEvict: (id: number) => void,
    onFree: (id: number) => boolean = () => true,
  ): CacheMarks {
    if (this.#onEvict !== undefined) {
      throw new TypeError("Cannot attach a second index to the pool");
    }
    this.#onEvict = onEvict;
    this.#onFree = onFree;
    return {
      mark: (id) => {
        this.#checkUsed(id);
        this.#cached[id] = 1;
      },
      unmark: (id) => this.#unmark(id),
    };
  }

  /**
   * Hands out `count` blocks, each held once, longest-free first. With
   * `options`, gives back and holds others in the same step.
   *
   * @throws {TypeError} if `count` or an id is not a number.
   * @throws {RangeError} if `count` is not an integer >= 0, a block to release
   * has fewer holders than it is to lose, or one to reuse is null or unknown.
   * @throws {OutOfBlocksError} if fewer are free; nothing is done then.
   */
  allocate(count: number, options: AllocateOptions = {}): number[] {
    this.checkAllocate(count, options);
    const { reuse = [], release = [] } = options;
    for (const id of release) this.release(id);
    for (const id of reuse) this.#hold(id);
    const ids: number[] = [];
    for (let i = 0; i < count; i++) {
      const id = this.#free.popFront()!;
      this.#evict(id);
      this.#references[id] = 1;
      ids.push(id);
    }
    this.#usedBlocks += count;
    this.#peakUsedBlocks = Math.max(this.#peakUsedBlocks, this.#usedBlocks);
    return ids;
  }

  /**
   * Throws what {@linkcode BlockPool.allocate} would throw, and does nothing.
   *
   * @throws as {@linkcode BlockPool.allocate} does.
   */
  checkAllocate(count: number, options: AllocateOptions = {}): void {
    const { reuse = [], release = [] } = options;
    checkInteger("count", count, 0);
    checkRoom(
      {
        totalBlocks: this.totalBlocks,
        freeBlocks: this.#free.length,
        evictableBlocks: this.#evictableBlocks,
        references: this.#references,
        cached: this.#cached,
        shortage: (counts) => this.shortage(counts),
      },
      count,
      { reuse, release },
    );
  }

  /**
   * Adds a holder to a block that is in use.
   *
   * @throws {TypeError} if `id` is not a number.
   * @throws {RangeError} if `id` is the null block, unknown or free.
   */
  retain(id: number): void {
    this.#checkUsed(id);
    this.#hold(id);
  }

  /**
   * Takes a holder off a block; the last one frees it, at the back of the
   * free list (at its front if the pool has an index that does not find it).
   *
   * @throws {TypeError} if `id` is not a number.
   * @throws {RangeError} if `id` is the null block, unknown or already free.
   */
  release(id: number): void {
    this.#checkUsed(id);
    if (--this.#references[id] > 0) return;
    this.#usedBlocks--;
    if (this.#cached[id] === 1 && !this.#onFree(id)) this.#cached[id] = 0;
    if (this.#onEvict !== undefined && this.#cached[id] === 0) {
      this.#free.pushFront(id);
    } else {
      this.#free.pushBack(id);
      this.#evictableBlocks += this.#cached[id];
    }
  }

  /**
   * Checks every invariant of the pool in O(totalBlocks).
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    verifyPool({
      links: this.#free.links,
      references: this.#references,
      usedBlocks: this.#usedBlocks,
      peakUsedBlocks: this.#peakUsedBlocks,
      cached: this.#cached,
      evictableBlocks: this.#evictableBlocks,
    });
  }

  /** The error of a pool that has too few blocks; it is not thrown. */
  shortage(
    counts: { needed: number; free: number; evictable: number },
  ): OutOfBlocksError {
    return new OutOfBlocksError(counts);
  }

  /** Holds a block once more, in use or free. */
  #hold(id: number): void {
    if (this.#references[id] === 0) {
      this.#free.remove(id);
      this.#evictableBlocks -= this.#cached[id];
      this.#usedBlocks++;
    }
    this.#references[id]++;
  }

  /** Takes the mark off a block that left the free list to be reused. */
  #evict(id: number): void {
    if (this.#cached[id] === 0) return;
    this.#cached[id] = 0;
    this.#evictableBlocks--;
    this.#onEvict!(id);
  }

  #unmark(id: number): void {
    if (this.#cached[id] === 0) return;
    this.#cached[id] = 0;
    if (this.#references[id] > 0) return;
    this.#evictableBlocks--;
    this.#free.remove(id);
    this.#free.pushFront(id);
  }

  #checkUsed(id: number): void {
    checkInteger("id", id, 1, this.totalBlocks);
    checkRange(
      this.#references[id] > 0,
      "id",
      "must be a block in use",
      id,
    );
  }
}

/**
 * One sequence's blocks, shared with its forks until one of them writes.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { BlockPool, NULL_BLOCK } from "./block_pool.ts";
import type { BlockCopy, Reservation, ReserveOptions } from "./table_types.ts";

export type { BlockCopy, Reservation, ReserveOptions } from "./table_types.ts";

/**
 * The block table of one sequence.
 *
 * Tokens are added in three steps: {@linkcode BlockTable.reserve} gives them
 * slots, the caller writes their keys and values there, and
 * {@linkcode BlockTable.commit} says that this is done. `length` counts the
 * tokens that have a slot, `committed` those that are written.
 *
 * A fork holds the same blocks. The first table that reserves slots in a last
 * block that is partial and shared gets a copy of its own (copy-on-write); full
 * blocks are never written again, so they stay shared. A block that a prefix
 * index finds counts as shared.
 *
 * {@linkcode BlockTable.dropBefore} gives up the start of a sequence that only
 * looks back over a window, {@linkcode BlockTable.drop} any blocks that no later
 * row looks at. The null block stands in the table for what is gone, so a mask
 * must hide its tokens: kernels cannot tell them from others.
 *
 * Every operation succeeds, or throws and changes nothing. After
 * {@linkcode BlockTable.free} every member but `freed` throws a `TypeError`.
 *
 * @example
 * ```ts
 * import { BlockPool, BlockTable } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 4 });
 * const prompt = new BlockTable(pool);
 * prompt.reserve(6); // blocks 1 and 2; slots 4..9, to be written
 * prompt.commit();
 * const fork = prompt.fork(); // allocates nothing
 * const { slots, copies } = fork.reserve(1);
 * // slots [14]; copies [{ source: 2, destination: 3, rows: 2 }]
 * prompt.free();
 * fork.free();
 * ```
 *
 * @category Cache
 */
export class BlockTable {
  readonly #pool: BlockPool;
  #blocks: number[] = [];
  #length = 0;
  #committed = 0;
  #dropped = 0;
  #freed = false;

  /**
   * Makes an empty table, which holds no block.
   *
   * @throws {TypeError} if `pool` is not a {@linkcode BlockPool}.
   */
  constructor(pool: BlockPool) {
    checkType(pool instanceof BlockPool, "pool", "must be a BlockPool", pool);
    this.#pool = pool;
  }

  /**
   * Makes a table over blocks that the caller holds; the holds pass to it.
   *
   * @param blocks The block ids in order of position; null blocks stand for
   * dropped tokens.
   * @param size Tokens that have a slot, which the blocks cover with none to
   * spare, and those of them that are written: all by default.
   * @throws {TypeError} if `pool` is not a {@linkcode BlockPool}, or a size is
   * not a number.
   * @throws {RangeError} if the blocks are not as many as `length` takes, one
   * that is not the null block is not in use, the last is the null block and not
   * full, or `committed` is not an integer in `0..length`.
   */
  static adopt(
    pool: BlockPool,
    blocks: readonly number[],
    size: { readonly length: number; readonly committed?: number },
  ): BlockTable {
    const table = new BlockTable(pool);
    const { length, committed = length } = size;
    checkInteger("length", length, 0);
    checkInteger("committed", committed, 0, length);
    checkRange(
      blocks.length === Math.ceil(length / pool.blockSize),
      "blocks.length",
      `must be the blocks of ${length} tokens`,
      blocks.length,
    );
    table.#blocks = [...blocks];
    for (const id of table.#held()) {
      checkRange(pool.refCount(id) > 0, "blocks", "must be in use", id);
    }
    if (length % pool.blockSize !== 0) table.#checkThere("length", length);
    table.#length = length;
    table.#committed = committed;
    table.#passHoles();
    return table;
  }

  /** The pool whose blocks this table holds. */
  get pool(): BlockPool {
    this.#checkAlive();
    return this.#pool;
  }

  /** Whether it is freed, and can be used no more. */
  get freed(): boolean {
    return this.#freed;
  }

  /** Tokens that have a slot. */
  get length(): number {
    this.#checkAlive();
    return this.#length;
  }

  /** Tokens whose keys and values are written, by the caller's word. */
  get committed(): number {
    this.#checkAlive();
    return this.#committed;
  }

  /** A copy of the block ids, in order of position. */
  get blocks(): readonly number[] {
    this.#checkAlive();
    return [...this.#blocks];
  }

  /**
   * Leading tokens that were dropped: a whole number of blocks. Behind them,
   * blocks may be missing that {@linkcode BlockTable.drop} gave up.
   */
  get dropped(): number {
    this.#checkAlive();
    return this.#dropped * this.#pool.blockSize;
  }

  /**
   * Tokens that fit in the blocks of the table: `length` rounded up to blocks,
   * and the blocks taken ahead.
   */
  get capacity(): number {
    this.#checkAlive();
    return this.#blocks.length * this.#pool.blockSize;
  }

  /**
   * Blocks that reserving `count` tokens takes from the pool, the copy's
   * included.
   *
   * @throws {TypeError} if `count` is not a number, or the table is freed.
   * @throws {RangeError} if `count` is not an integer >= 0.
   */
  blocksNeeded(count: number): number {
    this.#checkAlive();
    checkInteger("count", count, 0);
    return this.#blocksFor(count) + (this.#mustCopy(count) ? 1 : 0);
  }

  /**
   * Gives `count` more tokens their slots.
   *
   * @throws {TypeError} if `count` is not a number, or the table is freed.
   * @throws {RangeError} if `count` is not an integer >= 0, or there are less
   * `blocks` than it takes.
   * @throws {OutOfBlocksError} if the new blocks and the copy's together are
   * more than are free.
   */
  reserve(count: number, options: ReserveOptions = {}): Reservation {
    const needed = this.blocksNeeded(count);
    const first = this.#length;
    const copyNeeded = this.#mustCopy(count);
    const fresh = this.#take(needed, options.blocks);
    const copies = copyNeeded ? [this.#replaceLast(fresh.shift()!)] : [];
    for (const id of fresh) this.#blocks.push(id);
    this.#length = first + count;
    const slots = new Uint32Array(count);
    for (let i = 0; i < count; i++) slots[i] = this.#slot(first + i);
    return { slots, copies };
  }

  /**
   * Takes the caller's word that keys and values are written up to `length`.
   *
   * @param length Defaults to all tokens that have a slot.
   * @throws {TypeError} if `length` is not a number, or the table is freed.
   * @throws {RangeError} if it is not an integer in `committed..length`.
   */
  commit(length: number = this.length): void {
    this.#checkAlive();
    checkInteger("length", length, this.#committed, this.#length);
    this.#committed = length;
  }

  /**
   * Makes a table over the same blocks; allocates nothing.
   *
   * @throws {TypeError} if the table is freed.
   */
  fork(): BlockTable {
    this.#checkAlive();
    const fork = new BlockTable(this.#pool);
    // Blocks taken ahead stay behind: two tables must not write one block.
    const begun = Math.ceil(this.#length / this.#pool.blockSize);
    fork.#blocks = this.#blocks.slice(0, begun);
    fork.#dropped = this.#dropped;
    for (const id of fork.#held()) this.#pool.retain(id);
    fork.#length = this.#length;
    fork.#committed = this.#committed;
    return fork;
  }

  /**
   * Gives back the blocks that lie wholly before `position`, the last first:
   * a sliding window has passed them. Their slots are gone for good.
   *
   * @returns How many blocks were given up.
   * @throws {TypeError} if `position` is not a number, or the table is freed.
   * @throws {RangeError} if it is not an integer in `0..length`.
   */
  dropBefore(position: number): number {
    this.#checkAlive();
    checkInteger("position", position, 0, this.#length);
    const end = Math.floor(position / this.#pool.blockSize);
    let given = 0;
    for (let i = end - 1; i >= this.#dropped; i--) given += this.#giveUp(i);
    this.#passHoles();
    return given;
  }

  /**
   * Gives back blocks wherever they stand, the last first: no later row looks at
   * them, as the policy has it that chose them. Their slots are gone for good.
   * Tables of a `CacheManager` are its own to drop blocks of.
   *
   * @param indices Their places in the table; those that are gone already stay
   * so.
   * @returns How many blocks were given up.
   * @throws {TypeError} if an index is not a number, or the table is freed.
   * @throws {RangeError} if there is none of that index all of whose tokens are
   * committed.
   */
  drop(indices: Iterable<number>): number {
    this.#checkAlive();
    const wanted = new Set(indices);
    const last = Math.floor(this.#committed / this.#pool.blockSize) - 1;
    for (const index of wanted) checkInteger("indices", index, 0, last);
    let given = 0;
    for (const i of [...wanted].sort((a, b) => b - a)) given += this.#giveUp(i);
    this.#passHoles();
    return given;
  }

  /**
   * Ends the table without giving its blocks back.
   *
   * @returns The blocks that it held, in order of position; the holds pass to
   * the caller.
   * @throws {TypeError} if the table is freed.
   */
  detach(): number[] {
    this.#checkAlive();
    this.#freed = true;
    return this.#held();
  }

  /**
   * Forgets the tokens from `length` on, committed or not, and gives back the
   * blocks that are past it as a whole, the last first, those taken ahead too.
   *
   * @throws {TypeError} if `length` is not a number, or the table is freed.
   * @throws {RangeError} if it is not an integer in `dropped..this.length`, or
   * is within a block that was dropped, where no more could be written.
   */
  truncate(length: number): void {
    this.#checkAlive();
    checkInteger("length", length, this.dropped, this.#length);
    const kept = Math.ceil(length / this.#pool.blockSize);
    if (length % this.#pool.blockSize !== 0) {
      this.#checkThere("length", length);
    }
    this.#releaseFrom(kept);
    this.#length = length;
    this.#committed = Math.min(this.#committed, length);
  }

  /**
   * Gives back every block, the last first: the end of a sequence is less
   * likely to be wanted again than its start, so it is reused sooner.
   *
   * @throws {TypeError} if the table is already freed.
   */
  free(): void {
    this.#checkAlive();
    this.#releaseFrom(0);
    this.#length = 0;
    this.#committed = 0;
    this.#freed = true;
  }

  /**
   * The physical slot of a token that has one: `block * blockSize + row`.
   *
   * @throws {TypeError} if `position` is not a number, or the table is freed.
   * @throws {RangeError} if it is not an integer in `dropped..length - 1`, or is
   * in a block that was dropped.
   */
  slot(position: number): number {
    this.#checkAlive();
    checkInteger("position", position, this.dropped, this.#length - 1);
    this.#checkThere("position", position);
    return this.#slot(position);
  }

  /**
   * The block that a position lies in, with a token or taken ahead; the null
   * block where it was dropped.
   *
   * @throws {TypeError} if `position` is not a number, or the table is freed.
   * @throws {RangeError} if it is not an integer in `0..capacity - 1`.
   */
  blockAt(position: number): number {
    checkInteger("position", position, 0, this.capacity - 1);
    return this.#blocks[Math.floor(position / this.#pool.blockSize)];
  }

  /** The blocks that this table holds, in order of position. */
  #held(): number[] {
    return this.#blocks.filter((id) => id !== NULL_BLOCK);
  }

  /** Gives a block up, and says how many that were: it may be gone already. */
  #giveUp(index: number): number {
    const id = this.#blocks[index];
    if (id === NULL_BLOCK) return 0;
    this.#pool.release(id);
    this.#blocks[index] = NULL_BLOCK;
    return 1;
  }

  /** Counts blocks as leading ones that the dropped ones have come up to. */
  #passHoles(): void {
    while (this.#blocks[this.#dropped] === NULL_BLOCK) this.#dropped++;
  }

  #checkThere(name: string, position: number): void {
    checkRange(
      this.#blocks[Math.floor(position / this.#pool.blockSize)] !== NULL_BLOCK,
      name,
      "must not be in a block that was dropped",
      position,
    );
  }

  /** Where the block of the next token stands, if it is begun already. */
  get #last(): number {
    return Math.floor(this.#length / this.#pool.blockSize);
  }

  /** Says whether writing behind the last token would be seen by others. */
  #mustCopy(count: number): boolean {
    if (count === 0 || this.#length % this.#pool.blockSize === 0) return false;
    const id = this.#blocks[this.#last];
    return this.#pool.refCount(id) > 1 || this.#pool.isCached(id);
  }

  /** The blocks for a reservation: those given, else fresh ones. */
  #take(needed: number, given?: readonly number[]): number[] {
    if (given === undefined) return this.#pool.allocate(needed);
    checkRange(
      given.length >= needed,
      "blocks.length",
      `must be at least ${needed}`,
      given.length,
    );
    for (const id of given) {
      checkRange(
        this.#pool.refCount(id) === 1,
        "blocks",
        "must be held once",
        id,
      );
    }
    return [...given];
  }

  /** How many blocks `count` more tokens take beyond those held. */
  #blocksFor(count: number): number {
    // Not from length + count: that sum may be no safe integer.
    const overflow = count - (this.capacity - this.#length);
    return Math.max(0, Math.ceil(overflow / this.#pool.blockSize));
  }

  /** Puts `destination` in the shared last block's place. */
  #replaceLast(destination: number): BlockCopy {
    const source = this.#blocks[this.#last];
    this.#blocks[this.#last] = destination;
    this.#pool.release(source);
    return { source, destination, rows: this.#length % this.#pool.blockSize };
  }

  #slot(position: number): number {
    const { blockSize } = this.#pool;
    const block = this.#blocks[Math.floor(position / blockSize)];
    return block * blockSize + position % blockSize;
  }

  #releaseFrom(kept: number): void {
    while (this.#blocks.length > Math.max(kept, this.#dropped)) {
      const id = this.#blocks.pop()!;
      if (id !== NULL_BLOCK) this.#pool.release(id);
    }
  }

  #checkAlive(): void {
    if (this.#freed) {
      throw new TypeError("Cannot use the block table as it is freed");
    }
  }
}

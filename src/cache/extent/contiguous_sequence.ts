/**
 * One sequence in one extent: its keys lie in order, and move as it grows.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { BlockCopy, Reservation } from "../block/table_types.ts";
import { blockCopies, ExtentPool } from "./extent_pool.ts";
import type { Extent } from "./extent_types.ts";
import { grownCapacity, type GrowthOptions } from "./growth.ts";

/**
 * How much room a {@linkcode ContiguousSequence} takes ahead.
 *
 * @category Cache
 */
export type ContiguousGrowth = Omit<GrowthOptions, "blockSize">;

/**
 * A fork, and what must be copied before it can be read.
 *
 * @category Cache
 */
export interface ContiguousFork {
  /** The new sequence, with room of its own. */
  readonly sequence: ContiguousSequence;
  /**
   * Copies of all rows, to carry out in order, once the rows of earlier
   * reservations are written and before those of later ones are.
   */
  readonly copies: readonly BlockCopy[];
}

/** Growth in blocks of a size; throws unless sequences can grow so. */
export function checkedGrowth(
  growth: ContiguousGrowth,
  blockSize: number,
): GrowthOptions {
  checkType(
    typeof growth === "object" && growth !== null,
    "growth",
    "must be an object",
    growth,
  );
  const options = { ...growth, blockSize };
  grownCapacity(0, options);
  return options;
}

/**
 * The counterpart of a `BlockTable` for kernels that read keys in order: the
 * sequence lies in one extent of a pool, and where that cannot grow in place,
 * its rows are copied to another.
 *
 * Tokens are added in three steps, as to a `BlockTable`: reserve slots, write
 * keys and values there, commit. Slots hold until the sequence's next `reserve`
 * or the pool's next `compact`, either of which may move it, so what is
 * reserved must be written before.
 *
 * Nothing is shared: a fork copies every row.
 *
 * Every operation succeeds, or throws and changes nothing. After
 * {@linkcode ContiguousSequence.free} every member but `freed` throws a
 * `TypeError`.
 *
 * @example
 * ```ts
 * import { ContiguousSequence, ExtentPool } from "@quire/attention/cache";
 *
 * const pool = new ExtentPool({ numBlocks: 8, blockSize: 4 });
 * const prompt = new ContiguousSequence(pool);
 * prompt.reserve(4); // slots 0..3, to be written
 * prompt.commit();
 * const { sequence: fork } = prompt.fork(); // slots 4..7
 * const { slots, copies } = prompt.reserve(1);
 * // slots [12]; copies [{ source: 0, destination: 2, rows: 4 }]
 * prompt.free();
 * fork.free();
 * ```
 *
 * @category Cache
 */
export class ContiguousSequence {
  readonly #pool: ExtentPool;
  readonly #growth: GrowthOptions;
  readonly #extent: Extent;
  #committed = 0;
  #freed = false;

  /**
   * Makes an empty sequence, which holds no block.
   *
   * @throws {TypeError} if `pool` is not an {@linkcode ExtentPool}, or the
   * policy is unknown.
   * @throws {RangeError} if `maxLength` is not an integer >= 0, or `"max"` has
   * none.
   */
  constructor(pool: ExtentPool, growth: ContiguousGrowth = {}) {
    checkType(
      pool instanceof ExtentPool,
      "pool",
      "must be an ExtentPool",
      pool,
    );
    this.#pool = pool;
    this.#growth = checkedGrowth(growth, pool.blockSize);
    this.#extent = pool.allocate(this.#sizeOf(0));
  }

  /** The pool whose blocks this sequence holds. */
  get pool(): ExtentPool {
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
    return this.#extent.tokens;
  }

  /** Tokens whose keys and values are written, by the caller's word. */
  get committed(): number {
    this.#checkAlive();
    return this.#committed;
  }

  /** Tokens that fit without taking more blocks. */
  get capacity(): number {
    this.#checkAlive();
    return this.#extent.blocks * this.#pool.blockSize;
  }

  /** The slot of the first token; 0 while the sequence is empty. */
  get start(): number {
    this.#checkAlive();
    return this.#extent.start * this.#pool.blockSize;
  }

  /**
   * Gives `count` more tokens their slots.
   *
   * @returns Their slots, and copies that move the rows before them if the
   * extent cannot grow in place.
   * @throws {TypeError} if `count` is not a number, or the sequence is freed.
   * @throws {RangeError} if `count` is not an integer >= 0, or the length
   * would be more than `maxLength`.
   * @throws {OutOfBlocksError} if no run of free blocks is long enough.
   */
  reserve(count: number): Reservation {
    const first = this.length;
    checkInteger("count", count, 0);
    const copies = this.#pool.resize(
      this.#extent,
      this.#sizeOf(first + count),
    );
    const slots = new Uint32Array(count);
    const next = this.start + first;
    for (let i = 0; i < count; i++) slots[i] = next + i;
    return { slots, copies };
  }

  /**
   * Takes the caller's word that keys and values are written up to `length`.
   *
   * @param length Defaults to all tokens that have a slot.
   * @throws {TypeError} if `length` is not a number, or the sequence is freed.
   * @throws {RangeError} if it is not an integer in `committed..length`.
   */
  commit(length: number = this.length): void {
    checkInteger("length", length, this.committed, this.length);
    this.#committed = length;
  }

  /**
   * Makes a sequence of the same tokens in an extent of its own, which grows
   * by the same policy.
   *
   * @throws {TypeError} if the sequence is freed.
   * @throws {OutOfBlocksError} if no run of free blocks is long enough.
   */
  fork(): ContiguousFork {
    this.#checkAlive();
    const sequence = new ContiguousSequence(this.#pool, this.#growth);
    const { blocks, tokens } = this.#extent;
    try {
      this.#pool.resize(sequence.#extent, { blocks, tokens });
    } catch (error) {
      sequence.free();
      throw error;
    }
    sequence.#committed = this.#committed;
    const copies = blockCopies(this.#extent.start, sequence.#extent.start, {
      rows: tokens,
      blockSize: this.#pool.blockSize,
    });
    return { sequence, copies };
  }

  /**
   * Forgets the tokens from `length` on, committed or not, and gives back the
   * room that a sequence of that length does not take. Nothing moves.
   *
   * @throws {TypeError} if `length` is not a number, or the sequence is freed.
   * @throws {RangeError} if it is not an integer in `0..this.length`.
   */
  truncate(length: number): void {
    checkInteger("length", length, 0, this.length);
    this.#pool.resize(this.#extent, this.#sizeOf(length));
    this.#committed = Math.min(this.#committed, length);
  }

  /**
   * Gives back every block.
   *
   * @throws {TypeError} if the sequence is already freed.
   */
  free(): void {
    this.#checkAlive();
    this.#pool.release(this.#extent);
    this.#freed = true;
  }

  /**
   * The physical slot of a token that has one.
   *
   * @throws {TypeError} if `position` is not a number, or the sequence is
   * freed.
   * @throws {RangeError} if it is not an integer in `0..length - 1`.
   */
  slot(position: number): number {
    checkInteger("position", position, 0, this.length - 1);
    return this.start + position;
  }

  #sizeOf(length: number): { blocks: number; tokens: number } {
    const room = grownCapacity(length, this.#growth);
    return { blocks: room / this.#pool.blockSize, tokens: length };
  }

  #checkAlive(): void {
    if (this.#freed) {
      throw new TypeError("Cannot use the sequence as it is freed");
    }
  }
}

/**
 * Prefixes that must stay cached for a while.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import type { BlockPool } from "../block/block_pool.ts";

/**
 * A hold on a cached prefix.
 *
 * @category Cache
 */
export interface Pin {
  /** The blocks held, in order of position. */
  readonly blocks: readonly number[];
  /** Tokens that the blocks hold. */
  readonly length: number;
  /** The time of the index's clock from which on the hold is given back. */
  readonly expiresAt: number;
}

/** The pins of one index. */
export class PinBoard {
  readonly #pool: BlockPool;
  readonly #clock: () => number;
  readonly #pins: Set<Pin> = new Set();
  /** No pin is due before. */
  #nextExpiry = Infinity;

  /** Makes a board with no pins. */
  constructor(pool: BlockPool, clock: () => number) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /**
   * Holds the blocks of a prefix for `ttl` units of the clock.
   *
   * @throws {TypeError} if `ttl` is not a number.
   * @throws {RangeError} if it is not more than 0.
   */
  pin({ blocks, length }: Pick<Pin, "blocks" | "length">, ttl: number): Pin {
    checkType(typeof ttl === "number", "ttl", "must be a number", ttl);
    checkRange(ttl > 0, "ttl", "must be more than 0", ttl);
    // Frozen, as the holds are given back by what it says.
    const pin: Pin = Object.freeze({
      blocks: Object.freeze([...blocks]),
      length,
      expiresAt: this.#clock() + ttl,
    });
    this.#pool.allocate(0, { reuse: pin.blocks });
    this.#pins.add(pin);
    this.#nextExpiry = Math.min(this.#nextExpiry, pin.expiresAt);
    return pin;
  }

  /** Gives back a pin's holds; `false` if they are given back already. */
  unpin(pin: Pin): boolean {
    if (!this.#pins.delete(pin)) return false;
    for (const id of pin.blocks.toReversed()) this.#pool.release(id);
    return true;
  }

  /** Unpins what is due; says how many pins that were. */
  expire(): number {
    const now = this.#clock();
    // Most calls find nothing due, and look at no pin.
    if (now < this.#nextExpiry) return 0;
    const due = [...this.#pins].filter(({ expiresAt }) => expiresAt <= now);
    for (const pin of due) this.unpin(pin);
    this.#nextExpiry = [...this.#pins].reduce(
      (next, { expiresAt }) => Math.min(next, expiresAt),
      Infinity,
    );
    return due.length;
  }

  /** The pins that hold blocks. */
  get pins(): readonly Pin[] {
    return [...this.#pins];
  }
}

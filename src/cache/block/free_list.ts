/**
 * The order in which free blocks are handed out again.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { ABSENT, type FreeLinks, verifyFreeLinks } from "./pool_invariants.ts";

/**
 * A doubly linked list of the ids `1..capacity` whose links lie in two typed
 * arrays: push, pop and removal from the middle cost O(1) and allocate nothing.
 *
 * Entry 0 closes the ring. It stands for the null block, which is never free,
 * so the list needs no separate ends and no branches for them.
 *
 * Ids enter at the back and leave at the front, so the front is always the
 * least recently freed.
 */
export class FreeList {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #length: number;

  /**
   * Makes a list that holds `1..capacity` in ascending order.
   *
   * @throws {TypeError} if `capacity` is not a number.
   * @throws {RangeError} if it is not an integer in `0..2**31 - 2`.
   */
  constructor(capacity: number) {
    checkInteger("capacity", capacity, 0, 2 ** 31 - 2);
    const entries = capacity + 1;
    this.#next = new Int32Array(entries);
    this.#previous = new Int32Array(entries);
    for (let id = 0; id < entries; id++) {
      const after = (id + 1) % entries;
      this.#next[id] = after;
      this.#previous[after] = id;
    }
    this.#length = capacity;
  }

  /** How many ids are on the list. */
  get length(): number {
    return this.#length;
  }

  /** Says whether `id` is on the list. */
  has(id: number): boolean {
    return id > 0 && id < this.#next.length && this.#next[id] !== ABSENT;
  }

  /**
   * Puts `id` at the back.
   *
   * @throws {RangeError} if `id` is not in `1..capacity`, or is on the list.
   */
  pushBack(id: number): void {
    this.#checkAbsent(id);
    const back = this.#previous[0];
    this.#next[back] = id;
    this.#previous[id] = back;
    this.#next[id] = 0;
    this.#previous[0] = id;
    this.#length++;
  }

  /**
   * Puts `id` at the front, to leave before all others.
   *
   * @throws {RangeError} if `id` is not in `1..capacity`, or is on the list.
   */
  pushFront(id: number): void {
    this.#checkAbsent(id);
    const after = this.#next[0];
    this.#previous[after] = id;
    this.#next[id] = after;
    this.#previous[id] = 0;
    this.#next[0] = id;
    this.#length++;
  }

  /** Takes the front id off the list; `undefined` if there is none. */
  popFront(): number | undefined {
    const front = this.#next[0];
    if (front === 0) return undefined;
    this.remove(front);
    return front;
  }

  /**
   * Takes `id` off the list, wherever it is.
   *
   * @throws {RangeError} if it is not on the list.
   */
  remove(id: number): void {
    checkRange(this.has(id), "id", "must be on the list", id);
    const before = this.#previous[id];
    const after = this.#next[id];
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#next[id] = ABSENT;
    this.#previous[id] = ABSENT;
    this.#length--;
  }

  /** Iterates over the ids from front to back. */
  *[Symbol.iterator](): IterableIterator<number> {
    for (let id = this.#next[0]; id !== 0; id = this.#next[id]) yield id;
  }

  /** The live state, for the checks in `pool_invariants.ts`; not to be written. */
  get links(): FreeLinks {
    return {
      next: this.#next,
      previous: this.#previous,
      length: this.#length,
    };
  }

  /**
   * Checks the list's own invariants in O(capacity).
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    verifyFreeLinks(this.links);
  }

  #checkAbsent(id: number): void {
    checkInteger("id", id, 1, this.#next.length - 1);
    checkRange(!this.has(id), "id", "must not be on the list", id);
  }
}

/**
 * Items in the order of their ranks.
 *
 * @module
 */

import { compareRanks, type Rank } from "./policy.ts";

/** A list that is always in rank order; no two items have one rank. */
export class RankedList<T extends Rank> {
  readonly #items: T[] = [];

  /** How many items there are. */
  get length(): number {
    return this.#items.length;
  }

  /** The item at an index, `undefined` past the end; -1 is the last. */
  at(index: number): T | undefined {
    return this.#items.at(index);
  }

  /** The items, the first in rank first. */
  [Symbol.iterator](): IterableIterator<T> {
    return this.#items.values();
  }

  /** Inserts an item in rank order. */
  insert(item: T): void {
    this.#items.splice(this.#indexOf(item), 0, item);
  }

  /** Takes an item out; `false` if it is not in the list. */
  remove(item: T): boolean {
    const index = this.#indexOf(item);
    if (this.#items[index] !== item) return false;
    this.#items.splice(index, 1);
    return true;
  }

  /** How many items are ahead of a rank. */
  #indexOf(rank: Rank): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareRanks(this.#items[middle], rank) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

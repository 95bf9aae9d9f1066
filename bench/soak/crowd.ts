/**
 * The sequences of a soak: picked at random, added and taken out in O(1).
 *
 * @module
 */

import type { CacheSequence } from "../../src/cache/mod.ts";
import type { Prng } from "../../src/core/prng.ts";

/** A sequence, and what the cache forgets of it while it is preempted. */
export interface Member {
  /** The sequence. */
  readonly sequence: CacheSequence;
  /** Which of the domains it is in. */
  readonly domain: number;
  /** The length at which it ends. */
  readonly end: number;
  /** Its tokens when it began last. */
  tokens: readonly number[];
}

/** A set with random picks. */
export class Crowd<T> {
  readonly #items: T[] = [];
  readonly #places: Map<T, number> = new Map();

  /** How many there are. */
  get size(): number {
    return this.#items.length;
  }

  /** Those that are in it now, also while some are taken out. */
  [Symbol.iterator](): IterableIterator<T> {
    return [...this.#items].values();
  }

  /** Adds one that is not in it. */
  add(item: T): void {
    this.#places.set(item, this.#items.length);
    this.#items.push(item);
  }

  /** Takes one out that is in it. */
  remove(item: T): void {
    const place = this.#places.get(item)!;
    const last = this.#items.pop()!;
    this.#places.delete(item);
    if (last === item) return;
    this.#items[place] = last;
    this.#places.set(last, place);
  }

  /** Any one; `undefined` if there is none. */
  pick(random: Prng): T | undefined {
    return this.#items[random.below(this.#items.length)];
  }

  /** Up to `count` different ones. */
  pickSome(random: Prng, count: number): T[] {
    const picks = Array.from({ length: count }, () => this.pick(random));
    return [...new Set(picks)].filter((item) => item !== undefined);
  }
}

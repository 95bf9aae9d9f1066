/**
 * What the CPU has written to a binding, so that only what changed is written
 * again: a mask that stays the same from step to step goes to the device once.
 *
 * @module
 */

/** A part of an array. */
export interface ChangedRange {
  /** The first element that changed. */
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

/** A copy of the words of one binding. */
export class HeldWords {
  #words: Uint32Array = new Uint32Array(0);

  /**
   * Takes what is about to be written from the binding's start.
   *
   * @returns What differs from before, or `undefined` where nothing does.
   */
  take(words: Uint32Array): ChangedRange | undefined {
    const held = this.#words;
    const both = Math.min(held.length, words.length);
    let first = 0;
    while (first < both && held[first] === words[first]) first++;
    if (first === words.length) return undefined;
    let end = words.length;
    if (end <= held.length) {
      while (held[end - 1] === words[end - 1]) end--;
      held.set(words.subarray(first, end), first);
    } else {
      this.#words = words.slice();
    }
    return { first, end };
  }
}

/**
 * Words that grow: what a schedule is written into.
 *
 * @module
 */

/** A list of u32 that grows at its end. */
export class Words {
  #words = new Uint32Array(256);
  #length = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** Appends; returns where the first one went. Negative ones wrap. */
  append(values: ArrayLike<number>): number {
    const at = this.#length;
    const end = at + values.length;
    if (end > this.#words.length) {
      const grown = new Uint32Array(Math.max(end, 2 * this.#words.length));
      grown.set(this.#words);
      this.#words = grown;
    }
    // A loop: `set` is slow for the few words that most records have.
    for (let i = 0; i < values.length; i++) this.#words[at + i] = values[i];
    this.#length = end;
    return at;
  }

  /** Those there are, until the next `append`. */
  view(): Uint32Array {
    return this.#words.subarray(0, this.#length);
  }
}

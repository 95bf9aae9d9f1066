/**
 * A small seeded generator, so that any input can be printed as one integer.
 *
 * @module
 */

/** A seeded stream of pseudo-random numbers (mulberry32). */
export class Prng {
  #state: number;

  /** Starts a stream; only the low 32 bits of `seed` matter. */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The next 32 random bits. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** Uniform in `[0, 1)`. */
  uniform(): number {
    return this.u32() / 4294967296;
  }

  /** A uniform integer in `[0, bound)`. */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Standard normal (Box-Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A uniformly shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}

/**
 * All that lies in the arenas of a state cache, as bits, and what should.
 *
 * @module
 */

import fc from "fast-check";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import type { StateCache, StateCacheOptions } from "../../../src/kv/mod.ts";

/** Caches of few small states, some with extras. */
export const anyStates: fc.Arbitrary<StateCacheOptions> = fc.record({
  numStates: fc.integer({ min: 2, max: 7 }),
  layers: fc.integer({ min: 1, max: 3 }),
  stateHeads: fc.integer({ min: 1, max: 3 }),
  headDim: fc.constantFrom(1, 3, 4, 8),
  valueHeadDim: fc.constantFrom(1, 2, 4, 5),
  extras: fc.constantFrom({}, { tail: [3] }, { tail: [2, 4], norm: [1] }),
});

/** The words of each slot, by layers and tensors. */
export class StateImage {
  readonly #slots: number;
  /** One after the other: of each layer every tensor. */
  readonly words: Uint32Array[];

  private constructor(slots: number, words: Uint32Array[]) {
    this.#slots = slots;
    this.words = words;
  }

  /** Fills every arena with bits of a seed, NaNs of any payload among them. */
  static fill(gpu: Gpu, cache: StateCache, seed: number): StateImage {
    const prng = new Prng(seed);
    const words = tensors(cache).map(({ buffer, size }) => {
      const bits = Uint32Array.from(
        { length: size },
        () =>
          prng.below(4) > 0
            ? prng.below(2 ** 32)
            : (0x7f800000 + 1 + prng.below(2 ** 22)) >>> 0,
      );
      gpu.queue.writeBuffer(buffer, 0, bits);
      return bits;
    });
    return new StateImage(cache.numStates, words);
  }

  /** What lies there now. */
  static async read(gpu: Gpu, cache: StateCache): Promise<StateImage> {
    const words = await gpu.read(
      tensors(cache).map(({ buffer, size }) => gpu.wrap(buffer, "u32", [size])),
    );
    return new StateImage(cache.numStates, words as Uint32Array[]);
  }

  /** Copies a slot of another image in all tensors. */
  copy(
    from: StateImage,
    { source, destination }: { source: number; destination: number },
  ): void {
    this.words.forEach((words, i) =>
      words.set(from.#slot(i, source), destination * this.#size(i))
    );
  }

  #slot(i: number, slot: number): Uint32Array {
    const size = this.#size(i);
    return this.words[i].slice(slot * size, (slot + 1) * size);
  }

  #size(i: number): number {
    return this.words[i].length / this.#slots;
  }
}

/**
 * Fills with NaN the slots that no one holds and no index finds, the null
 * state's too.
 */
export function poisonStates(cache: StateCache): void {
  const { gpu, pool, numStates } = cache;
  for (const { buffer, size } of tensors(cache)) {
    const nan = new Float32Array(size / numStates).fill(NaN);
    for (const slot of [0, ...pool.freeOrder()]) {
      if (pool.isCached(slot)) continue;
      gpu.queue.writeBuffer(buffer, slot * nan.byteLength, nan);
    }
  }
}

function tensors(cache: StateCache) {
  return Array.from(
    { length: cache.layers },
    (_, layer) => cache.names.map((name) => cache.states(layer, name)),
  ).flat();
}

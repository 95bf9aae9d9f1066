/**
 * Which weights dropout drops: a hash of (seed, batch, head, query position,
 * key) and of nothing else, so that forward, backward, every tile, split and
 * layout, and the reference drop the same. `kernels/fragments/dropout.ts` is the
 * same in WGSL, bit by bit.
 *
 * A row's 64-bit state starts as the seed and takes in batch, head and query,
 * one after the other; a key's bits then come of the state and the key:
 *
 * ```text
 * take in w:  a = mix((a ^ w) + G)     b = mix(b ^ a)
 * bits(key) = mix(mix(key ^ a) ^ b)    dropped where bits < rate 2^32
 * ```
 *
 * with `mix` the finalizer of MurmurHash3 (Appleby 2011), a permutation of 32
 * bits of which each depends on all, and `G` the golden ratio's fraction, so
 * that zeros do not stay zeros. Taking in is a permutation of the state for each
 * word, so no two states of a row are ever merged by what follows.
 *
 * @module
 */

import { checkFinite, checkRange, checkType } from "./check.ts";
import { checkOptions } from "./options.ts";

/**
 * Dropout of attention weights.
 *
 * @category Attention
 */
export interface Dropout {
  /** The share of weights that is dropped, in `[0, 1)`. */
  readonly rate: number;
  /** Which ones: an integer in `[0, 2^64)`; 0 by default. */
  readonly seed?: number | bigint;
}

/** Dropout as kernels take it. */
export interface DropoutWords {
  /** The seed's low 32 bits. */
  readonly seedLow: number;
  /** Its high 32 bits. */
  readonly seedHigh: number;
  /** A weight whose 32 bits are less is dropped. */
  readonly threshold: number;
  /** What a weight that is kept is multiplied by, a float32. */
  readonly factor: number;
}

const OPTIONS = {
  known: ["rate", "seed"],
  hints: { p: "write rate", probability: "write rate", dropoutP: "write rate" },
};

/**
 * Checks dropout.
 *
 * @returns It as kernels take it; `undefined` where nothing is dropped.
 * @throws {TypeError} for another form or type
 * @throws {RangeError} for a rate outside `[0, 1)`, or a seed that is no
 * unsigned integer of 64 bits
 */
export function dropoutWords(
  dropout: Dropout | undefined,
): DropoutWords | undefined {
  if (dropout === undefined) return undefined;
  checkType(
    typeof dropout === "object" && dropout !== null && !Array.isArray(dropout),
    "dropout",
    "must be { rate, seed }; leave it out for none",
    dropout,
  );
  checkOptions("dropout", dropout, OPTIONS);
  const { rate, seed = 0 } = dropout;
  checkFinite("dropout.rate", rate);
  checkRange(
    rate >= 0 && rate < 1,
    "dropout.rate",
    "must be in [0, 1), the share of weights that is dropped",
    rate,
  );
  const words = seedWords("dropout.seed", seed);
  const threshold = Math.floor(rate * 2 ** 32);
  if (threshold === 0) return undefined;
  return {
    ...words,
    threshold,
    factor: Math.fround(1 / (1 - threshold / 2 ** 32)),
  };
}

/**
 * A seed of 64 bits as two words.
 *
 * @throws {TypeError} if it is no integer
 * @throws {RangeError} if it is not in `[0, 2^64)`
 */
export function seedWords(
  name: string,
  seed: number | bigint,
): Pick<DropoutWords, "seedLow" | "seedHigh"> {
  checkType(
    typeof seed === "number" || typeof seed === "bigint",
    name,
    "must be an integer",
    seed,
  );
  checkRange(
    typeof seed === "bigint"
      ? seed >= 0n && seed < 2n ** 64n
      : Number.isSafeInteger(seed) && seed >= 0,
    name,
    "must be an integer >= 0 and below 2^53, or a bigint below 2^64",
    seed,
  );
  const bits = BigInt(seed);
  return {
    seedLow: Number(bits & 0xffffffffn),
    seedHigh: Number(bits >> 32n),
  };
}

/**
 * What dropout multiplies the weight of a pair by: 0 where it is dropped, else
 * about `1 / (1 - rate)`, as a float32. Takes batch, head, query position and
 * key.
 *
 * @throws {TypeError} for another form or type
 * @throws {RangeError} for a rate outside `[0, 1)`, or a seed that is no
 * unsigned integer of 64 bits
 *
 * @example A third dropped, the rest worth half as much again
 * ```ts
 * import { attention, dropoutKeep } from "@quire/attention/reference";
 *
 * const keep = dropoutKeep({ rate: 1 / 3, seed: 7 });
 * const { output } = attention({
 *   query: [1],
 *   key: [0, 0, 0, 0],
 *   value: [1, 1, 1, 1],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 4,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   keep,
 * });
 * console.log(output[0]); // a multiple of 3/8; 1 in the mean over seeds
 * ```
 *
 * @category Attention
 */
export function dropoutKeep(
  dropout: Dropout,
): (batch: number, head: number, query: number, key: number) => number {
  const words = dropoutWords(dropout);
  if (!words) return () => 1;
  const { threshold, factor } = words;
  const bits = dropoutBits(words);
  return (batch, head, query, key) =>
    bits(batch, head, query, key) < threshold ? 0 : factor;
}

/** The 32 bits of a pair, for a seed. */
export function dropoutBits(
  { seedLow, seedHigh }: Pick<DropoutWords, "seedLow" | "seedHigh">,
): (batch: number, head: number, query: number, key: number) => number {
  return (batch, head, query, key) => {
    let state: HashState = [seedLow, seedHigh];
    for (const word of [batch, head, query]) state = takeIn(state, word);
    const [a, b] = state;
    return mix(mix(key ^ a) ^ b);
  };
}

/** What a hash has taken in so far, as two words of 32 bits. */
export type HashState = readonly [a: number, b: number];

/** The state after one more word. */
export function takeIn([a, b]: HashState, word: number): HashState {
  const next = mix(((a ^ word) + GOLDEN) | 0);
  return [next, mix(b ^ next)];
}

/** The golden ratio's fraction in 32 bits. */
export const GOLDEN = 0x9e3779b9;

/** MurmurHash3's finalizer, to an unsigned number. */
function mix(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Set disjointness by a stream with a store of so many slots: whether two sets
 * that are read one after the other have an element in common.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import { Prng } from "../../src/core/prng.ts";

/** What a stream can say: whether they have one in common, or that it cannot. */
export type Verdict = "common" | "disjoint" | "unknown";

/** Two sets. */
export interface SetPair {
  /** The set that is read before the other. */
  readonly former: readonly number[];
  /** The other. */
  readonly latter: readonly number[];
}

/**
 * Two sets of numbers below `universe`, in any order; one element in common or
 * none, by the seed.
 *
 * @throws {RangeError} if they do not fit
 */
export function setPair(
  { former, latter, universe, seed }: {
    readonly former: number;
    readonly latter: number;
    readonly universe: number;
    readonly seed: number;
  },
): SetPair {
  checkInteger("former", former, 0, universe);
  checkInteger("latter", latter, 0, universe - former);
  const random = new Prng(seed);
  const all = random.shuffle(Array.from({ length: universe }, (_, i) => i));
  const a = all.slice(0, former);
  const b = all.slice(former, former + latter);
  if (former > 0 && latter > 0 && random.below(2) === 1) {
    b[random.below(latter)] = a[random.below(former)];
  }
  return { former: a, latter: b };
}

/**
 * Reads the sets, so often, with a store of `slots` elements: it keeps the set
 * that it reads as long as it fits, and holds the next one against what it
 * keeps. A set that does not fit is given up; the next one is kept instead.
 */
export function decide(
  { former, latter }: SetPair,
  { slots, readings }: { readonly slots: number; readonly readings: number },
): Verdict {
  let store: Set<number> | undefined;
  for (let reading = 0; reading < readings; reading++) {
    for (const set of [former, latter]) {
      if (store !== undefined) {
        const kept = store;
        return set.some((x) => kept.has(x)) ? "common" : "disjoint";
      }
      store = kept(set, slots);
    }
  }
  return "unknown";
}

/** The set, unless it has more elements than there are slots. */
function kept(
  set: readonly number[],
  slots: number,
): Set<number> | undefined {
  const store = new Set<number>();
  for (const x of set) {
    if (store.size === slots && !store.has(x)) return undefined;
    store.add(x);
  }
  return store;
}

/** The least number of slots that decides every pair of these sizes. */
export function slotsNeeded(
  { former, latter }: { readonly former: number; readonly latter: number },
  readings: number,
): number {
  return readings > 1 ? Math.min(former, latter) : former;
}

/**
 * Why no fewer do: two second sets of which one has an element in common with
 * the first and the other has none, though a store without `forgotten` holds
 * the same against both.
 */
export function indistinguishable(
  { former, latter }: SetPair,
  { forgotten, fresh }: { readonly forgotten: number; readonly fresh: number },
): readonly [common: SetPair, disjoint: SetPair] {
  const others = latter.slice(1).filter((x) => !former.includes(x));
  return [
    { former, latter: [forgotten, ...others] },
    { former, latter: [fresh, ...others] },
  ];
}

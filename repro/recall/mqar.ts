/**
 * Multi-query associative recall: pairs of a key and a value, and then each key
 * once more, to be answered by its value. How many answers a state of so many
 * slots gives, and a window of so many tokens, with nothing to train: keys are
 * orthogonal as long as there are slots, values are, and the answer is the
 * value that stands out most.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";

/** A task. */
export interface RecallTask {
  /** The slot of each pair's key. */
  readonly slots: readonly number[];
  /** The value of each pair, all different. */
  readonly values: readonly number[];
  /** Which pair each query asks for, in order. */
  readonly queries: readonly number[];
}

/** What a model has. */
export interface RecallMemory {
  /** D: orthogonal keys that a state tells apart; 0 without linear attention. */
  readonly slots: number;
  /** Tokens before a query that softmax attention sees; 0 without a window. */
  readonly window: number;
}

/**
 * Pairs whose keys have slots one after the other, again from the first one
 * where there are more pairs: the most that `slots` orthogonal keys allow. Query
 * `j` asks for pair `(j + shift) % pairs`.
 *
 * @throws {RangeError} for a number that is no integer >= 0
 */
export function recallTask(
  pairs: number,
  { slots }: Pick<RecallMemory, "slots">,
  shift = 0,
): RecallTask {
  checkInteger("pairs", pairs, 1);
  checkInteger("slots", slots, 0);
  checkInteger("shift", shift, 0);
  const all = Array.from({ length: pairs }, (_, i) => i);
  return {
    slots: all.map((i) => slots === 0 ? 0 : i % slots),
    // The lowest wins a slot that several share: the earliest.
    values: all,
    queries: all.map((j) => (j + shift) % pairs),
  };
}

/** Whether query `j` sees the value of pair `i`: it stands behind its key. */
export function inWindow(
  { pairs, window }: { readonly pairs: number; readonly window: number },
  j: number,
  i: number,
): boolean {
  return 2 * i + 1 >= 2 * pairs + j - window;
}

/**
 * Answers by doing it: the state is a matrix that adds `key value^T`, with keys
 * and values as unit vectors; a query reads its key's row, and answers the
 * lowest value of those that stand out most. What the window shows is answered
 * by softmax attention, exactly.
 *
 * @returns Which queries are answered by their own value.
 */
export function recalled(
  { slots, values, queries }: RecallTask,
  memory: RecallMemory,
): boolean[] {
  const pairs = slots.length;
  const state = Array.from(
    { length: memory.slots },
    () => new Map<number, number>(),
  );
  if (memory.slots > 0) {
    slots.forEach((slot, i) => {
      const row = state[slot];
      row.set(values[i], (row.get(values[i]) ?? 0) + 1);
    });
  }
  return queries.map((i, j) => {
    if (inWindow({ pairs, window: memory.window }, j, i)) return true;
    if (memory.slots === 0) return false;
    const row = [...state[slots[i]]];
    const most = Math.max(...row.map(([, weight]) => weight));
    const answer = Math.min(
      ...row.flatMap(([value, weight]) => weight === most ? [value] : []),
    );
    return answer === values[i];
  });
}

/**
 * The share of queries that are answered, in the mean over all shifts of the
 * queries: query j sees `seen_j` of the pairs in its window, the latest ones,
 * and the state tells min(D, P) of all P apart, the earliest ones, so
 *
 * ```text
 * mean over j of min(P, seen_j + D) / P
 * ```
 *
 * which no D slots exceed, whichever pairs they keep.
 */
export function recallShare(
  pairs: number,
  { slots, window }: RecallMemory,
): number {
  let answered = 0;
  for (let j = 0; j < pairs; j++) {
    answered += Math.min(pairs, seenPairs(pairs, window, j) + slots);
  }
  return answered / pairs ** 2;
}

/** Pairs whose values query `j` sees. */
function seenPairs(pairs: number, window: number, j: number): number {
  const oldest = Math.ceil((2 * pairs + j - window - 1) / 2);
  return Math.min(pairs, Math.max(0, pairs - Math.max(0, oldest)));
}

/**
 * The share that a state answers where a key's slot is any of D, of K keys for
 * each: the mean number of slots that are taken, `D (1 - C(KD - K, P) /
 * C(KD, P))`, over P.
 */
export function hashedShare(
  pairs: number,
  slots: number,
  keysPerSlot: number,
): number {
  const keys = keysPerSlot * slots;
  checkInteger("pairs", pairs, 1, keys);
  let empty = 1;
  for (let n = 0; n < pairs; n++) {
    empty *= Math.max(0, keys - keysPerSlot - n) / (keys - n);
  }
  return slots * (1 - empty) / pairs;
}

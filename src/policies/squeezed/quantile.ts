/**
 * The score up to which a part of all keys has theirs.
 *
 * @module
 */

/** A score of each cluster, and how many keys have it. */
export interface ScoredKeys {
  /** From 0 on. */
  readonly scores: ArrayLike<number>;
  /** As many. */
  readonly counts: ArrayLike<number>;
}

/** A score, and the part of all keys that have no higher one. */
export interface Quantile {
  /** The score. */
  readonly quantile: number;
  /** The part of the keys. */
  readonly below: number;
}

/** The least score, or 0, that at least a part of all keys does not exceed. */
export function quantileOf(
  scored: readonly ScoredKeys[],
  part: number,
): Quantile {
  const keys = scored.flatMap(({ scores, counts }) =>
    Array.from(scores, (score, i) => ({ score, count: counts[i] }))
  ).filter(({ count }) => count > 0).sort((a, b) => a.score - b.score);
  const all = keys.reduce((sum, { count }) => sum + count, 0);
  // What a part is of so many may round up, past a whole number of keys.
  const wanted = part * all * (1 - 1e-12);
  let quantile = 0;
  let below = 0;
  for (const { score, count } of keys) {
    if (score > quantile && below >= wanted) break;
    quantile = Math.max(quantile, score);
    below += count;
  }
  return { quantile, below: all === 0 ? 0 : below / all };
}

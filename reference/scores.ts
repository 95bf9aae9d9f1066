/**
 * The scores of one query: `s_j = score(scale * <q, k_j>)` for each key `j`
 * that the query sees.
 *
 * @module
 */

import type { Geometry, ReferenceProblem } from "./problem.ts";

/** The keys that one query sees, in order, with their scores. */
export interface SeenScores {
  /** Indices of the keys. */
  readonly keys: number[];
  /** `scale * <q, k>` of each, before the score function. */
  readonly products: number[];
  /** The score of each. */
  readonly scores: number[];
}

/** `sum_t a[aStart + t] * b[bStart + t]` over `length` elements. */
export function dot(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  length: number,
): number {
  let sum = 0;
  for (let t = 0; t < length; t++) sum += a[aStart + t] * b[bStart + t];
  return sum;
}

/**
 * The scores of query `i` of head `h`. The mask is asked first, so a key that
 * is not seen is not even read: what lies there, NaN included, cannot matter.
 */
export function seenScores(
  problem: ReferenceProblem,
  geometry: Geometry,
  row: { b: number; i: number; h: number },
): SeenScores {
  const { query, key, headDim, score, mask } = problem;
  const { b, i, h } = row;
  const position = i + geometry.queryOffset(b);
  const keys: number[] = [];
  const products: number[] = [];
  const scores: number[] = [];
  for (let j = 0; j < geometry.keyCount(b); j++) {
    if (mask && !mask(b, h, position, j)) continue;
    const queryAt = geometry.queryAt(b, i, h);
    const keyAt = geometry.keyAt(b, j, h);
    const product = geometry.scale * dot(query, queryAt, key, keyAt, headDim);
    keys.push(j);
    products.push(product);
    scores.push(score ? score(product, b, h, position, j) : product);
  }
  return { keys, products, scores };
}

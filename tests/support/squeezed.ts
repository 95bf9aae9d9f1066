/**
 * Keys for Squeezed Attention's tests, and what the device may take another
 * choice for than float64.
 *
 * @module
 */

import { squaredDistance } from "../../reference/policies/kmeans.ts";
import { Prng } from "../../src/core/prng.ts";

/** Float32's unit roundoff. */
const ROUNDING = 2 ** -24;

/**
 * How far a squared distance of two directions in float32 may be from the exact
 * one: each of `headDim` terms is at most 4, with a few roundings each, and their
 * sum rounds once a term.
 */
export function distanceBound(headDim: number): number {
  return 4 * (headDim + 12) * ROUNDING * 2;
}

/** `[keys, heads, headDim]` numbers around some directions of each head. */
export function plantedKeys(
  { keys, heads, headDim, directions, spread, seed }: {
    readonly keys: number;
    readonly heads: number;
    readonly headDim: number;
    readonly directions: number;
    readonly spread: number;
    readonly seed: number;
  },
): Float32Array {
  const random = new Prng(seed);
  const ways = Float64Array.from(
    { length: heads * directions * headDim },
    () => random.normal(),
  );
  const out = new Float32Array(keys * heads * headDim);
  for (let key = 0; key < keys; key++) {
    for (let head = 0; head < heads; head++) {
      const way = (head * directions + random.below(directions)) * headDim;
      const length = 0.5 + 2 * random.uniform();
      for (let d = 0; d < headDim; d++) {
        out[(key * heads + head) * headDim + d] = length *
          (ways[way + d] + spread * random.normal());
      }
    }
  }
  return out;
}

/** The rows of a head among `[keys, heads, headDim]`. */
export function headRows(
  keys: ArrayLike<number>,
  { heads, headDim, head }: {
    readonly heads: number;
    readonly headDim: number;
    readonly head: number;
  },
): Float64Array {
  const count = keys.length / heads / headDim;
  return Float64Array.from({ length: count * headDim }, (_, i) => {
    const [key, d] = [Math.floor(i / headDim), i % headDim];
    return keys[(key * heads + head) * headDim + d];
  });
}

/** Rows of some length. */
export function rowsOf(data: ArrayLike<number>, headDim: number): number[][] {
  return Array.from(
    { length: data.length / headDim },
    (_, i) => Array.from({ length: headDim }, (_, d) => data[i * headDim + d]),
  );
}

/**
 * Throws unless each row's label is its nearest centroid, or one that float32
 * cannot tell from it.
 *
 * @param live Which centroids can be nearest to anything.
 */
export function checkNearest(
  units: readonly ArrayLike<number>[],
  centroids: readonly ArrayLike<number>[],
  { labels, live, at }: {
    readonly labels: ArrayLike<number>;
    readonly live: (cluster: number) => boolean;
    readonly at: string;
  },
): void {
  units.forEach((unit, i) => {
    const distances = centroids.map((one, c) =>
      live(c) ? squaredDistance(unit, one) : Infinity
    );
    const least = Math.min(...distances);
    const own = distances[labels[i]];
    if (own <= least + distanceBound(unit.length)) return;
    throw new Error(
      `${at}: row ${i} is in cluster ${labels[i]} at ${own}, and ${
        distances.indexOf(least)
      } is at ${least}`,
    );
  });
}

/**
 * K-means of directions in float64, as Squeezed Attention groups the keys of one
 * head: rows are divided by their length, seeds drawn as k-means++ draws them,
 * and then each row goes to the nearest mean and each mean to the middle of its
 * rows, by turns.
 *
 * ```text
 * u = x / |x|    label = argmin_i |u - c_i|^2    c_i = mean of u over label = i
 * C_i = mean of x over label = i                 N_i = how many
 * ```
 *
 * @module
 */

/**
 * Rows of one head, and how they are grouped.
 *
 * @category Policies
 */
export interface KmeansProblem {
  /** `[members, headDim]`. */
  readonly rows: ArrayLike<number>;
  /** Elements of a row. */
  readonly headDim: number;
  /** How many groups. */
  readonly clusters: number;
  /** `[clusters]` numbers from 0 on and below 1, by which seeds are drawn. */
  readonly draws: ArrayLike<number>;
  /** The most iterations. */
  readonly iterations: number;
  /** `[members]`: how many keys each row stands for; one by default. */
  readonly weights?: ArrayLike<number> | undefined;
}

/**
 * Groups of rows.
 *
 * @category Policies
 */
export interface KmeansResult {
  /** `[members]`: the group of each row. */
  readonly labels: number[];
  /** `[clusters][headDim]`: the means of directions; none where never a row was. */
  readonly directions: (Float64Array | undefined)[];
  /** `[clusters][headDim]`: the means of rows; zeros where there is none. */
  readonly centroids: Float64Array[];
  /** `[clusters]`: keys of each. */
  readonly counts: number[];
  /** The sum of squared distances after each iteration. */
  readonly inertia: number[];
  /** Whether the last iteration moved no mean. */
  readonly converged: boolean;
}

/** Rows divided by their length; a row of zeros stays one. */
export function directionsOf(
  rows: ArrayLike<number>,
  headDim: number,
): Float64Array[] {
  return rowsOf(rows, headDim).map((row) => {
    const length = Math.hypot(...row);
    return length > 0 ? row.map((x) => x / length) : row;
  });
}

/** The squared distance of two rows. */
export function squaredDistance(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}

/**
 * Which rows are seeds. Each is drawn with a chance that goes with its squared
 * distance from the nearest seed before it; the first with the same chance as any
 * other that has a direction.
 */
export function drawSeeds(
  directions: readonly Float64Array[],
  draws: ArrayLike<number>,
): number[] {
  const distances: number[] = directions.map((u) =>
    u.some((x) => x !== 0) ? 1 : 0
  );
  const picks: number[] = [];
  for (let k = 0; k < draws.length; k++) {
    picks.push(passing(distances, draws[k]));
    const seed = directions[picks[k]];
    directions.forEach((u, i) => {
      if (distances[i] === 0) return;
      const distance = squaredDistance(u, seed);
      if (k === 0 || distance < distances[i]) distances[i] = distance;
    });
  }
  return picks;
}

/** Where the sum of weights passes a part of all; the last weight at the latest. */
function passing(weights: readonly number[], part: number): number {
  const aim = part * weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  let last = 0;
  for (const [i, weight] of weights.entries()) {
    if (weight === 0) continue;
    last = i;
    sum += weight;
    if (sum > aim) break;
  }
  return last;
}

/** The nearest of some rows; of equally near ones the one that comes before. */
export function nearest(
  row: ArrayLike<number>,
  of: readonly (ArrayLike<number> | undefined)[],
): number {
  let label = 0;
  let least = Infinity;
  of.forEach((one, i) => {
    if (one === undefined) return;
    const distance = squaredDistance(row, one);
    if (distance < least) [label, least] = [i, distance];
  });
  return label;
}

/** The sums of labelled rows divided by what they count. */
function means(
  rows: readonly Float64Array[],
  labels: readonly number[],
  { clusters, weights }: {
    readonly clusters: number;
    readonly weights?: ArrayLike<number> | undefined;
  },
): { readonly means: Float64Array[]; readonly counts: number[] } {
  const headDim = rows[0].length;
  const counts = new Array<number>(clusters).fill(0);
  const sums = counts.map(() => new Float64Array(headDim));
  rows.forEach((row, i) => {
    const weight = weights?.[i] ?? 1;
    counts[labels[i]] += weight;
    row.forEach((x, d) => sums[labels[i]][d] += weight * x);
  });
  return {
    means: sums.map((sum, c) => sum.map((x) => x / Math.max(1, counts[c]))),
    counts,
  };
}

/**
 * Groups rows by their direction.
 *
 * A group that loses its last row keeps its mean; one that never had a row (there
 * are fewer directions than groups) has none, and gets no row.
 *
 * @example Two directions
 * ```ts
 * import { kmeans } from "@quire/attention/reference";
 *
 * const { labels, converged } = kmeans({
 *   rows: [1, 0, 5, 0, 0, 2],
 *   headDim: 2,
 *   clusters: 2,
 *   draws: [0, 0.5],
 *   iterations: 10,
 * });
 * console.log(labels[0] === labels[1], labels[0] !== labels[2], converged);
 * // true true true
 * ```
 *
 * @category Policies
 */
export function kmeans(
  { rows, headDim, clusters, draws, iterations, weights }: KmeansProblem,
): KmeansResult {
  const keys = rowsOf(rows, headDim);
  const units = directionsOf(rows, headDim);
  const seeds = drawSeeds(units, draws).map((pick) => units[pick]);
  let labels = units.map((u) => nearest(u, seeds));
  let directions = new Array<Float64Array | undefined>(clusters)
    .fill(undefined);
  const inertia: number[] = [];
  let converged = false;
  for (let i = 0; i < iterations && !converged; i++) {
    const found = means(units, labels, { clusters });
    const moved = found.means.map((mean, c) =>
      found.counts[c] > 0 ? mean : directions[c]
    );
    converged = moved.every((mean, c) =>
      mean?.join() === directions[c]?.join()
    );
    directions = moved;
    labels = units.map((u) => nearest(u, directions));
    inertia.push(
      units.reduce(
        (sum, u, k) => sum + squaredDistance(u, directions[labels[k]]!),
        0,
      ),
    );
  }
  const { means: centroids, counts } = means(keys, labels, {
    clusters,
    weights,
  });
  return { labels, directions, centroids, counts, inertia, converged };
}

function rowsOf(rows: ArrayLike<number>, headDim: number): Float64Array[] {
  return Array.from(
    { length: rows.length / headDim },
    (_, i) =>
      Float64Array.from({ length: headDim }, (_, d) => rows[i * headDim + d]),
  );
}

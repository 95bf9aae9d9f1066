/**
 * Rotary position embedding (RoPE, Su et al. 2021) in float64.
 *
 * ```text
 * angle_t = position * base^(-2 t / dim)
 * x' = x cos - y sin     y' = y cos + x sin     for each pair (x, y)
 * ```
 *
 * @module
 */

/** Which elements make a pair: `(2t, 2t + 1)`, or `(t, t + dim / 2)`. */
export type RopePairing = "interleaved" | "half-split";

/** One row and where it stands. */
export interface RopeOptions {
  /** The row's true position. */
  readonly position: number;
  /** Rotated elements, an even number; the rest is left as it is. */
  readonly dim: number;
  /** Which elements make a pair. */
  readonly pairing: RopePairing;
  /** Base of the frequencies; 10000 by default. */
  readonly base?: number;
}

/** Rotates a row. */
export function rope(
  row: ArrayLike<number>,
  { position, dim, pairing, base = 10000 }: RopeOptions,
): Float64Array {
  const out = Float64Array.from(row);
  for (let t = 0; t < dim / 2; t++) {
    const [i, j] = pairing === "interleaved"
      ? [2 * t, 2 * t + 1]
      : [t, t + dim / 2];
    const angle = position * base ** (-2 * t / dim);
    out[i] = row[i] * Math.cos(angle) - row[j] * Math.sin(angle);
    out[j] = row[j] * Math.cos(angle) + row[i] * Math.sin(angle);
  }
  return out;
}

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

/**
 * Which elements make a pair: `(2t, 2t + 1)`, or `(t, t + dim / 2)`.
 *
 * @category Reference
 */
export type RopePairing = "interleaved" | "half-split";

/**
 * One row and where it stands.
 *
 * @category Reference
 */
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

/**
 * Rotates a row.
 *
 * @example A quarter turn
 * ```ts
 * import { rope } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const position = Math.PI / 2;
 * const [x, y] = rope([1, 0], { position, dim: 2, pairing: "interleaved" });
 * assertAlmostEquals(x, 0, 1e-12);
 * assertAlmostEquals(y, 1, 1e-12);
 * ```
 *
 * @category Reference
 */
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

/**
 * In what numbers a layer's reference computes.
 *
 * @module
 */

/**
 * What each result becomes: itself, which makes a reference the oracle in
 * float64, or `Math.fround` of it, which makes the same lines the naive version
 * in float32 that the error rule takes as its yardstick.
 *
 * @category Layers
 */
export type Rounding = (x: number) => number;

/** None: float64. */
export const EXACT: Rounding = (x) => x;

const number = new Float32Array(1);
const bits = new Int32Array(number.buffer);

/**
 * To the float32 below or above, by chance: the naive version with its luck taken
 * away. Of several such runs the worst says how far float32 may be from float64
 * where one run that rounds to nearest may hit it (Monte Carlo arithmetic, Parker
 * 1997).
 *
 * @param random The next number in `[0, 1)`.
 */
export function roundAtRandom(random: () => number): Rounding {
  return (x) => {
    number[0] = x;
    const nearest = number[0];
    if (nearest === x || !Number.isFinite(nearest) || random() < 0.5) {
      return nearest;
    }
    if (nearest === 0) return x > 0 ? 2 ** -149 : -(2 ** -149);
    // Away from 0 where that is nearer to it than x is.
    bits[0] += Math.abs(nearest) < Math.abs(x) ? 1 : -1;
    return number[0];
  };
}

/** `sum_t a[aStart + t aStep] b[bStart + t bStep]`, one after the other. */
export function dotOf(
  a: { readonly of: ArrayLike<number>; at: number; step?: number },
  b: { readonly of: ArrayLike<number>; at: number; step?: number },
  { length, round }: { readonly length: number; readonly round: Rounding },
): number {
  let sum = 0;
  for (let t = 0; t < length; t++) {
    const product = a.of[a.at + t * (a.step ?? 1)] *
      b.of[b.at + t * (b.step ?? 1)];
    sum = round(sum + round(product));
  }
  return sum;
}

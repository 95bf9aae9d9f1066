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

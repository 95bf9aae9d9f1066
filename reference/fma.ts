/**
 * Float32 arithmetic as the kernels write it: multiplications and additions
 * that round once.
 *
 * @module
 */

/**
 * `a * b + c` of float32 numbers, rounded to float32. Their product is exact in
 * float64; the sum is rounded to float64 on the way, which changes the result
 * once in hundreds of millions of times, and then by half a unit.
 */
export function fmaF32(a: number, b: number, c: number): number {
  return Math.fround(a * b + c);
}

/**
 * `sum_t a[aStart + t] * b[bStart + t]` in the kernels' order: four elements at
 * a time, the last of them first, each by {@linkcode fmaF32}.
 */
export function dotFma(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  length: number,
): number {
  let sum = 0;
  for (let vec = 0; vec < length; vec += 4) {
    for (let t = Math.min(vec + 4, length) - 1; t >= vec; t--) {
      sum = fmaF32(a[aStart + t], b[bStart + t], sum);
    }
  }
  return sum;
}

/**
 * Seeded inputs, the same in every run and for every contestant.
 *
 * @module
 */

import type { DType } from "../../src/core/dtype.ts";
import { Prng } from "../../src/core/prng.ts";

/** `length` standard normal numbers of a stream, rounded to `dtype`. */
export function normals(
  dtype: DType,
  length: number,
  seed: number,
): Float32Array | Float16Array {
  const prng = new Prng(seed);
  const array = dtype === "f16"
    ? new Float16Array(length)
    : new Float32Array(length);
  for (let i = 0; i < length; i++) array[i] = prng.normal();
  return array;
}

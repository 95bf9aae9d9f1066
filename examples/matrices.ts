/**
 * What the tiny models multiply by, in plain TypeScript.
 *
 * @module
 */

import type { Prng } from "../src/core/prng.ts";

/** A matrix, `[outputs, inputs]`. */
export interface Weight {
  /** Columns. */
  readonly inputs: number;
  /** Row-major. */
  readonly data: Float32Array;
}

/** How large a weight is, and its numbers: by default as large as their mean. */
export interface WeightSizes {
  /** Rows. */
  readonly outputs: number;
  /** Columns. */
  readonly inputs: number;
  /** Times the size that keeps rows as large as they were; 1 by default. */
  readonly scale?: number;
}

/** A weight of normal numbers. */
export function randomWeight(
  prng: Prng,
  { outputs, inputs, scale = 1 }: WeightSizes,
): Weight {
  const size = scale / Math.sqrt(inputs);
  const data = new Float32Array(outputs * inputs);
  return { inputs, data: data.map(() => size * prng.normal()) };
}

/** Rows of a weight, by their numbers. */
export function rowsOf(
  { inputs, data }: Weight,
  rows: ArrayLike<number>,
): Float32Array {
  return Float32Array.from(
    Array.from(rows).flatMap((row) => [
      ...data.subarray(row * inputs, (row + 1) * inputs),
    ]),
  );
}

/** Adds `y` to `x`. */
export function add(x: Float32Array, y: Float32Array): void {
  y.forEach((value, i) => x[i] += value);
}

/** `[rows, inputs]` by the transpose of `[outputs, inputs]`. */
export function project(
  x: Float32Array,
  { inputs, data }: Weight,
): Float32Array {
  const rows = x.length / inputs;
  const outputs = data.length / inputs;
  const y = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) {
        sum += x[row * inputs + i] * data[output * inputs + i];
      }
      y[row * outputs + output] = sum;
    }
  }
  return y;
}

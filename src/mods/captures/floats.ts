/**
 * Floats on the host, of 32 or 16 bits, as masks and biases are given.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { widenBits } from "../../core/half.ts";

/**
 * Numbers of 16 bits: bfloat16, or float16 where there is no `Float16Array`.
 *
 * @category Masks and scores
 */
export interface FloatBits {
  /** The elements' bits, row-major. */
  readonly data: Uint16Array;
  /** What the bits mean. */
  readonly dtype: "bf16" | "f16";
}

/**
 * Floats on the host; those of 16 bits are widened, which is exact.
 *
 * @category Masks and scores
 */
export type FloatData = Float32Array | Float16Array | FloatBits;

/** The rule that {@linkcode floatsOf} holds data against. */
const RULE =
  'must be a Float32Array, a Float16Array, or { data, dtype } with a Uint16Array of bits and "bf16" or "f16"';

/** Whether something is `{ data, dtype }` of bits, or is meant to be. */
export function isFloatBits(data: unknown): data is FloatBits {
  return (data as FloatBits | null)?.data instanceof Uint16Array;
}

/** Whether something is an array of float16. */
export function isFloat16(data: unknown): data is Float16Array {
  return typeof Float16Array === "function" && data instanceof Float16Array;
}

/**
 * Floats as float32: a `Float32Array` as it is, others copied.
 *
 * @throws {TypeError} If they are of another class.
 */
export function floatsOf(name: string, data: unknown): Float32Array {
  if (data instanceof Float32Array) return data;
  if (isFloat16(data)) return Float32Array.from(data);
  checkType(isFloatBits(data), name, RULE, data);
  const { dtype } = data;
  checkType(
    dtype === "bf16" || dtype === "f16",
    `${name} dtype`,
    'must be "bf16" or "f16", as its data are a Uint16Array of bits',
    dtype,
  );
  return widenBits(data.data, dtype);
}

/**
 * Where each sequence of a batch begins and how long it is.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";

/**
 * Lengths, offsets or indices: one a sequence, or `batch + 1` of them. As
 * bigints, which int64 tensors are on the host, where they are safe integers.
 *
 * @category Attention
 */
export type Indices =
  | readonly number[]
  | readonly bigint[]
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array;

/** Sequences of one call at most: their records alone fill a binding. */
const MAX_SEQUENCES = 2 ** 22;

/** (start, count) of each sequence's queries. */
export function querySpans(
  shape: readonly number[],
  cuSeqlens: Indices | undefined,
): [start: number, count: number][] {
  if (shape.length === 4) {
    checkType(
      cuSeqlens === undefined,
      "cuSeqlens",
      "must not be given with a query of rank 4",
      cuSeqlens,
    );
    const [batch, count] = shape;
    checkInteger("query.shape[0]", batch, 0, MAX_SEQUENCES);
    return Array.from({ length: batch }, (_, b) => [b * count, count]);
  }
  checkType(
    cuSeqlens !== undefined,
    "cuSeqlens",
    "must be given with a query of rank 3",
    cuSeqlens,
  );
  return cumulativeSpans("cuSeqlens", cuSeqlens, shape[0]);
}

export function cumulativeSpans(
  name: string,
  given: Indices,
  tokens: number,
): [start: number, count: number][] {
  const cumulative = indicesOf(name, given);
  checkType(
    cumulative.length >= 1,
    name,
    "must have an element more than there are sequences",
    cumulative,
  );
  checkRange(cumulative[0] === 0, name, "must begin with 0", cumulative[0]);
  checkInteger(`${name}.length`, cumulative.length, 1, MAX_SEQUENCES + 1);
  const spans: [number, number][] = [];
  for (let i = 1; i < cumulative.length; i++) {
    checkRange(
      cumulative[i] >= cumulative[i - 1],
      `${name}[${i}]`,
      `must be >= ${cumulative[i - 1]}, the one before it`,
      cumulative[i],
    );
    spans.push([cumulative[i - 1], cumulative[i] - cumulative[i - 1]]);
  }
  checkRange(
    cumulative[cumulative.length - 1] === tokens,
    name,
    `must end with the number of tokens (${tokens})`,
    cumulative[cumulative.length - 1],
  );
  return spans;
}

/**
 * Indices as numbers.
 *
 * @throws {TypeError} for another class, or an element of another type
 * @throws {RangeError} for an element that is no integer of 32 bits
 */
export function indicesOf(name: string, given: unknown): number[] {
  checkType(
    Array.isArray(given) || given instanceof Uint32Array ||
      given instanceof Int32Array || given instanceof BigInt64Array ||
      given instanceof BigUint64Array,
    name,
    "must be an array of integers",
    given,
  );
  return Array.from(
    given,
    (value: unknown, i) => integerOf(`${name}[${i}]`, value),
  );
}

/** An integer of 32 bits, signed or not, that may be given as a bigint. */
export function integerOf(name: string, value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  checkInteger(name, number, -(2 ** 31), 2 ** 32 - 1);
  return number;
}

/**
 * Where each sequence of a batch begins and how long it is.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";

/** Lengths, offsets or indices: one a sequence, or `batch + 1` of them. */
export type Indices = readonly number[] | Uint32Array | Int32Array;

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
  cumulative: Indices,
  tokens: number,
): [start: number, count: number][] {
  checkIndices(name, cumulative);
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

export function checkIndices(name: string, indices: unknown): void {
  checkType(
    Array.isArray(indices) || indices instanceof Uint32Array ||
      indices instanceof Int32Array,
    name,
    "must be an array of integers",
    indices,
  );
  for (let i = 0; i < indices.length; i++) {
    checkInteger(`${name}[${i}]`, indices[i], -(2 ** 31), 2 ** 32 - 1);
  }
}

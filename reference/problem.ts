/**
 * What every function here computes: one attention problem, and where each of
 * its numbers lies.
 *
 * Layouts: query `[batch, queryLength, queryHeads, headDim]`, key
 * `[batch, keyLength, kvHeads, headDim]`, value
 * `[batch, keyLength, kvHeads, valueHeadDim]`, all row-major.
 *
 * @module
 */

import type { MaskFunction, ScoreFunction } from "../src/mods/mod.ts";
import { checkFinite, checkInteger, checkType } from "../src/core/check.ts";

export type { MaskFunction, ScoreFunction };

/**
 * What a problem has in every layout: heads, scale, score and mask.
 *
 * @category Reference
 */
export interface HeadOptions {
  /** Query heads; a multiple of `kvHeads`. */
  queryHeads: number;
  /** Key and value heads. */
  kvHeads: number;
  /** Elements of one query or key vector. */
  headDim: number;
  /** Elements of one value vector; default `headDim`. */
  valueHeadDim?: number | undefined;
  /** Factor on `<q, k>`; default `1 / sqrt(headDim)`. */
  scale?: number | undefined;
  /**
   * Position of query 0 among the keys, one for all or one for each batch
   * entry; default number of keys - number of queries (bottom-right).
   */
  queryOffset?: number | ArrayLike<number> | undefined;
  /** Changes each score, after the scale and before the mask. */
  score?: ScoreFunction | undefined;
  /** Which keys a query sees; default all. */
  mask?: MaskFunction | undefined;
  /**
   * Dropout: by how much the weight of each (query, key) is multiplied before
   * it multiplies the value, 0 where it is dropped; default 1.
   */
  keep?: KeepFunction | undefined;
}

/**
 * What dropout multiplies the weight of a pair by: 0 or `1 / (1 - rate)`. Takes
 * batch entry, query head, the query's position and the key's index.
 *
 * @category Reference
 */
export type KeepFunction = (
  batch: number,
  head: number,
  query: number,
  key: number,
) => number;

/**
 * One dense attention problem.
 *
 * @category Reference
 */
export interface ReferenceProblem extends HeadOptions {
  /** `[batch, queryLength, queryHeads, headDim]`. */
  query: ArrayLike<number>;
  /** `[batch, keyLength, kvHeads, headDim]`. */
  key: ArrayLike<number>;
  /** `[batch, keyLength, kvHeads, valueHeadDim]`. */
  value: ArrayLike<number>;
  /** Batch entries. */
  batch: number;
  /** Queries of each batch entry. */
  queryLength: number;
  /** Keys of each batch entry, as stored. */
  keyLength: number;
  /**
   * Keys of each batch entry, as written; default `keyLength` for all. Keys
   * past it do not exist, whatever bytes lie there.
   */
  keyLengths?: ArrayLike<number> | undefined;
}

/**
 * What attention gives, in float64.
 *
 * @category Reference
 */
export interface ReferenceResult {
  /** `[batch, queryLength, queryHeads, valueHeadDim]`. */
  output: Float64Array;
  /**
   * Natural logarithm of the sum of exponentials of the scores,
   * `[batch, queryLength, queryHeads]`; -Infinity for a row without keys.
   */
  lse: Float64Array;
}

/** A problem's defaults filled in, and where its vectors start. */
export interface Geometry {
  /** Elements of one value vector. */
  readonly valueHeadDim: number;
  /** Factor on `<q, k>`. */
  readonly scale: number;
  /** Rows of the result: `batch * queryLength * queryHeads`. */
  readonly rows: number;
  /** Keys of batch entry `b` that exist. */
  keyCount(b: number): number;
  /** Position of query 0 of batch entry `b`. */
  queryOffset(b: number): number;
  /** The row of the result that query `i` of head `h` fills. */
  rowAt(b: number, i: number, h: number): number;
  /** Where query vector `i` of head `h` starts. */
  queryAt(b: number, i: number, h: number): number;
  /** Where key vector `j`, as read by query head `h`, starts. */
  keyAt(b: number, j: number, h: number): number;
  /** Where value vector `j`, as read by query head `h`, starts. */
  valueAt(b: number, j: number, h: number): number;
}

/**
 * Checks a problem and fills in its defaults.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 */
export function geometryOf(problem: ReferenceProblem): Geometry {
  checkProblem(problem);
  const { queryLength, keyLength, queryHeads, kvHeads, headDim } = problem;
  const { keyLengths, queryOffset } = problem;
  const valueHeadDim = problem.valueHeadDim ?? headDim;
  const queriesPerKvHead = queryHeads / kvHeads;
  const kvHead = (h: number) => Math.floor(h / queriesPerKvHead);
  const rowAt = (b: number, i: number, h: number) =>
    (b * queryLength + i) * queryHeads + h;
  const keyRowAt = (b: number, j: number, h: number) =>
    (b * keyLength + j) * kvHeads + kvHead(h);
  const keyCount = (b: number) => keyLengths?.[b] ?? keyLength;
  return {
    valueHeadDim,
    scale: problem.scale ?? 1 / Math.sqrt(headDim),
    rows: problem.batch * queryLength * queryHeads,
    keyCount,
    queryOffset: (b) => offsetOf(queryOffset, b) ?? keyCount(b) - queryLength,
    rowAt,
    queryAt: (b, i, h) => rowAt(b, i, h) * headDim,
    keyAt: (b, j, h) => keyRowAt(b, j, h) * headDim,
    valueAt: (b, j, h) => keyRowAt(b, j, h) * valueHeadDim,
  };
}

/** The offset of batch entry `b`, or `undefined` where none was given. */
export function offsetOf(
  queryOffset: number | ArrayLike<number> | undefined,
  b: number,
): number | undefined {
  return typeof queryOffset === "object" ? queryOffset[b] : queryOffset;
}

/**
 * Checks the options that every layout shares.
 *
 * @throws {TypeError} if a number is of another type.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 */
export function checkHeads(options: HeadOptions): void {
  const { queryHeads, kvHeads, headDim, valueHeadDim, scale } = options;
  checkInteger("queryHeads", queryHeads, 1);
  checkInteger("kvHeads", kvHeads, 1);
  checkInteger("headDim", headDim, 1);
  if (valueHeadDim !== undefined) {
    checkInteger("valueHeadDim", valueHeadDim, 1);
  }
  if (scale !== undefined) checkFinite("scale", scale);
  if (queryHeads % kvHeads !== 0) {
    throw new RangeError(
      `queryHeads must be a multiple of kvHeads (${kvHeads}): ` +
        `current value is ${queryHeads}`,
    );
  }
}

/**
 * Checks that an array is as long as its shape says.
 *
 * @throws {TypeError} if it is not.
 */
export function checkLength(
  name: string,
  array: ArrayLike<number>,
  shape: readonly number[],
): void {
  const length = shape.reduce((product, size) => product * size, 1);
  const rule = `must have ${length} elements [${shape.join(", ")}]`;
  checkType(typeof array?.length === "number", name, rule, array);
  checkType(array.length === length, name, rule, array.length);
}

function checkProblem(problem: ReferenceProblem): void {
  checkHeads(problem);
  const { batch, queryLength, keyLength, queryHeads, kvHeads } = problem;
  const { headDim, valueHeadDim = headDim } = problem;
  checkInteger("batch", batch, 0);
  checkInteger("queryLength", queryLength, 0);
  checkInteger("keyLength", keyLength, 0);
  checkLength("query", problem.query, [
    batch,
    queryLength,
    queryHeads,
    headDim,
  ]);
  checkLength("key", problem.key, [batch, keyLength, kvHeads, headDim]);
  checkLength("value", problem.value, [
    batch,
    keyLength,
    kvHeads,
    valueHeadDim,
  ]);
  const { keyLengths, queryOffset } = problem;
  if (keyLengths !== undefined) {
    checkLength("keyLengths", keyLengths, [batch]);
    for (let b = 0; b < batch; b++) {
      checkInteger(`keyLengths[${b}]`, keyLengths[b], 0, keyLength);
    }
  }
  if (typeof queryOffset === "object") {
    checkLength("queryOffset", queryOffset, [batch]);
  }
  for (let b = 0; b < batch; b++) {
    const offset = offsetOf(queryOffset, b);
    if (offset !== undefined) {
      checkInteger("queryOffset", offset, Number.MIN_SAFE_INTEGER);
    }
  }
}

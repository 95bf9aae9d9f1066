/**
 * A row of packed documents, given by where each starts.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { type Capture, capture } from "../captures/capture.ts";
import type { Int } from "../expression.ts";

/**
 * Where each document starts, then the end of the last.
 *
 * @category Masks and scores
 */
export type CuSeqlens = Int32Array | Uint32Array | readonly number[];

/**
 * Documents of a packed row.
 *
 * @category Masks and scores
 */
export interface PackedDocuments {
  /** The document of each token. */
  readonly documentOf: Int32Array;
  /** Where each starts. */
  readonly starts: readonly number[];
  /** Where each ends (exclusive). */
  readonly ends: readonly number[];
}

/**
 * The documents of a row, of at least a token.
 *
 * @throws {TypeError} If `cuSeqlens` is no array of two numbers or more.
 * @throws {RangeError} If it does not begin with 0, decreases, or has no token.
 */
export function packedDocuments(cuSeqlens: CuSeqlens): PackedDocuments {
  checkType(
    (Array.isArray(cuSeqlens) || ArrayBuffer.isView(cuSeqlens)) &&
      cuSeqlens.length >= 2,
    "cuSeqlens",
    "must be where each document starts and the last ends",
    cuSeqlens,
  );
  const bounds = Array.from(cuSeqlens);
  checkInteger("cuSeqlens[0]", bounds[0], 0, 0);
  for (let i = 1; i < bounds.length; i++) {
    checkInteger(`cuSeqlens[${i}]`, bounds[i], bounds[i - 1], 2 ** 31 - 1);
  }
  const last = bounds.length - 1;
  checkInteger(`cuSeqlens[${last}]`, bounds[last], 1, 2 ** 31 - 1);
  const documentOf = new Int32Array(bounds[last]);
  for (let i = 0; i < last; i++) {
    documentOf.fill(i, bounds[i], bounds[i + 1]);
  }
  return { documentOf, starts: bounds.slice(0, -1), ends: bounds.slice(1) };
}

/**
 * A number of each token's document, read by position. As there is one for
 * each token, a problem with more or fewer keys is refused.
 */
export function perToken(
  name: string,
  { documentOf }: PackedDocuments,
  values: readonly number[],
): Capture<Int> {
  return capture(Int32Array.from(documentOf, (i) => values[i]), {
    name: `${name} of packed documents`,
    axes: ["key"],
  });
}

/**
 * One number for each document.
 *
 * @throws {TypeError} If there are not as many.
 */
export function eachDocument(
  name: string,
  values: Int32Array | Uint32Array | readonly number[],
  { starts }: PackedDocuments,
): number[] {
  checkType(
    (Array.isArray(values) || ArrayBuffer.isView(values)) &&
      values.length === starts.length,
    name,
    `must be one for each of the ${starts.length} documents`,
    values,
  );
  return Array.from(values);
}

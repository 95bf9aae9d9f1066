/**
 * Rows on the host.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { elementTypeOf, type HostArray } from "../../core/dtype.ts";

/**
 * An array with its shape, of any element type.
 *
 * @category Packing
 */
export interface HostRows<Data extends HostArray = HostArray> {
  /** The elements, row-major. */
  readonly data: Data;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/** Elements of a row, where all is as it should be. */
export function checkHostRows(
  name: string,
  { data }: HostRows,
  row: readonly number[],
  shape: readonly number[],
): number {
  checkType(
    elementTypeOf(data) !== undefined,
    `${name}.data`,
    "must be a Float32Array, Float16Array, Uint32Array, Int32Array or Uint8Array",
    data,
  );
  row.forEach((size, i) => checkInteger(`row shape[${i}]`, size, 0));
  const size = shape.reduce((product, length) => product * length, 1);
  checkType(
    data.length === size,
    `${name}.data.length`,
    `must be ${size}, the product of shape [${shape.join(", ")}]`,
    data.length,
  );
  return row.reduce((product, length) => product * length, 1);
}

/** An array of the same class, of zeros. */
export function emptyLike<Data extends HostArray>(
  data: Data,
  size: number,
): Data {
  return new (data.constructor as new (size: number) => Data)(size);
}

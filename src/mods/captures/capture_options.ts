/**
 * The options of captures, and their checks.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import type { CapturedAxis, CapturedData, DeviceReading } from "../nodes.ts";

/**
 * Options for `capture()`.
 *
 * @category Masks and scores
 */
export interface CaptureOptions {
  /** The size of each dimension, row-major; `[data.length]` by default. */
  readonly shape?: readonly number[];
  /** A name for messages; `"capture"` by default. */
  readonly name?: string;
  /**
   * What each dimension runs over, as far as that is to be checked: its size
   * must then be 1, or as many sequences (`"batch"`), query heads (`"head"`),
   * queries (`"row"`) or keys (`"key"`) as `attention()` has.
   */
  readonly axes?: readonly (CapturedAxis | undefined)[] | undefined;
  /** For messages: the shape before dimensions of 1 were left out. */
  readonly given?: readonly number[] | undefined;
}

/**
 * Options for `capture()` of a GPU tensor.
 *
 * @typeParam As What an element is read as.
 *
 * @category Masks and scores
 */
export interface TensorCaptureOptions<As extends DeviceReading>
  extends CaptureOptions {
  /**
   * What an element is read as: `"float"` (default) of f32 and f16; `"int"` of
   * u32, i32 and u8, by its bits; `"bool"` of those, true where it is not 0;
   * `"finite"` of floats, whether it is a finite number.
   */
  readonly as?: As;
  /**
   * The least and the greatest element, if they are known: they let tiles be
   * skipped by them. No one checks that it is so.
   */
  readonly range?: readonly [number, number];
}

/** The options that every capture takes. */
export const CAPTURE_OPTIONS: readonly string[] = [
  "shape",
  "name",
  "axes",
  "given",
];

/** Throws unless there are as many axes as dimensions, if any. */
export function checkAxes(
  name: string,
  axes: readonly (CapturedAxis | undefined)[] | undefined,
  shape: readonly number[],
): void {
  checkType(
    axes === undefined || axes.length === shape.length,
    `${name} axes`,
    `must be as many as there are dimensions (${shape.length})`,
    axes,
  );
}

/** Throws unless a shape has as many elements as there are. */
export function checkShape(
  name: string,
  shape: readonly number[],
  length: number,
): void {
  checkType(shape.length > 0, `${name} shape`, "must have a dimension", shape);
  for (const [axis, size] of shape.entries()) {
    checkInteger(`${name} shape[${axis}]`, size, 1, 2 ** 31 - 1);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  checkType(
    elements === length,
    `${name} shape`,
    `must have as many elements as the data (${length})`,
    shape,
  );
  // The kernels compute flat indices in 32 bits.
  checkRange(
    length < 2 ** 31,
    `${name} data`,
    "must have fewer than 2^31 elements",
    length,
  );
}

/** Throws unless every element has a meaning on a device. */
export function checkElements(name: string, data: CapturedData): void {
  if (data instanceof Float32Array) {
    const index = data.findIndex((value) => !Number.isFinite(value));
    checkRange(
      index < 0,
      `${name} data[${index}]`,
      "must be finite (a mask, not a score of -Infinity, hides a key)",
      data[index],
    );
  } else if (data instanceof Uint32Array) {
    const index = data.findIndex((value) => value > 0x7fffffff);
    checkRange(
      index < 0,
      `${name} data[${index}]`,
      "must be < 2^31",
      data[index],
    );
  }
}

/**
 * Captured buffers: data that a mod reads by position.
 *
 * @module
 */

import { checkInteger, checkRange, checkType, show } from "../core/check.ts";
import { checkOptions } from "../core/options.ts";
import {
  type Bool,
  type Expression,
  expressionOf,
  type Float,
  type Int,
  operandNode,
} from "./expression.ts";
import type {
  CapturedAxis,
  CapturedBuffer,
  CapturedData,
  ScalarType,
} from "./nodes.ts";

/**
 * A buffer that expressions can read; made by {@linkcode capture}.
 *
 * @example An element by head and by key
 * ```ts
 * import { capture, maskMod } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const seen = capture(Uint8Array.of(1, 1, 0, 1), { shape: [2, 2] });
 * assertEquals(seen.buffer.type, "bool");
 * const mod = maskMod("table", ({ head, key }) => seen.at(head, key));
 * assertEquals(mod.name, "table");
 * ```
 *
 * @category Masks and scores
 */
export class Capture<Element extends Expression = Expression> {
  /** The data and its shape, as the readings see them. */
  readonly buffer: CapturedBuffer;

  /** Wraps a buffer; call {@linkcode capture} instead, which checks it. */
  constructor(buffer: CapturedBuffer) {
    this.buffer = buffer;
  }

  /**
   * The element at one index per dimension. Each index is clamped to
   * `0..size - 1` of its dimension, so a dimension of size 1 broadcasts.
   *
   * @throws {TypeError} If the indices are not `Int`, or not one a dimension.
   */
  at(...indices: readonly (Int | number)[]): Element {
    const { shape, type, name } = this.buffer;
    if (indices.length !== shape.length) {
      throw new TypeError(
        `at() indices must be ${shape.length} for capture ${
          show(name)
        }: current value is ${indices.length} indices`,
      );
    }
    return expressionOf({
      kind: "load",
      type,
      buffer: this.buffer,
      indices: indices.map((index) => operandNode("at() index", "i32", index)),
    }) as Element;
  }
}

/**
 * Options for {@linkcode capture}.
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
 * Makes `data` readable in a mod: `Float32Array` as `Float`, `Int32Array` and
 * `Uint32Array` as `Int`, `Uint8Array` as `Bool` (nonzero is true).
 *
 * The array is not copied: it is read whenever a mod that uses it is emitted
 * or evaluated, and must not change once a mod that uses it is in use.
 *
 * @throws {TypeError} If `data` has another type, or `shape` does not fit it.
 * @throws {RangeError} If it is empty, or an element is not finite or exceeds
 * the range of i32.
 *
 * @example A bias for each head
 * ```ts
 * import { capture, scoreMod } from "@quire/attention";
 *
 * const bias = capture(Float32Array.of(0, 0.5), { shape: [2] });
 * const perHead = scoreMod(
 *   "per head",
 *   ({ score, head }) => score.add(bias.at(head)),
 * );
 * console.log(perHead.name); // per head
 * ```
 *
 * @category Masks and scores
 */
export function capture(
  data: Float32Array,
  options?: CaptureOptions,
): Capture<Float>;
/** The same for integers. */
export function capture(
  data: Int32Array | Uint32Array,
  options?: CaptureOptions,
): Capture<Int>;
/** The same for booleans. */
export function capture(
  data: Uint8Array,
  options?: CaptureOptions,
): Capture<Bool>;
export function capture(
  data: CapturedData,
  options: CaptureOptions = {},
): Capture {
  checkOptions("capture()", options, { known: CAPTURE });
  const { name = "capture", axes, given } = options;
  const type = typeOf(data);
  checkType(
    type !== undefined,
    `${name} data`,
    "must be a Float32Array, Int32Array, Uint32Array or Uint8Array",
    data,
  );
  const shape = [...options.shape ?? [data.length]];
  checkShape(name, shape, data.length);
  checkType(
    axes === undefined || axes.length === shape.length,
    `${name} axes`,
    `must be as many as there are dimensions (${shape.length})`,
    axes,
  );
  checkElements(name, data);
  return new Capture({ data, shape, type, name, axes, given });
}

const CAPTURE = ["shape", "name", "axes", "given"];

function typeOf(data: unknown): ScalarType | undefined {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array || data instanceof Uint32Array) return "i32";
  return data instanceof Uint8Array ? "bool" : undefined;
}

function checkShape(
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

function checkElements(name: string, data: CapturedData): void {
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

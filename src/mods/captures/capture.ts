/**
 * Captured buffers: data that a mod reads by position.
 *
 * @module
 */

import { checkType, show } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import {
  CAPTURE_OPTIONS,
  type CaptureOptions,
  checkAxes,
  checkElements,
  checkShape,
  type TensorCaptureOptions,
} from "./capture_options.ts";
import { type FloatData, floatsOf, isFloat16, isFloatBits } from "./floats.ts";
import { describeTensorCapture, isCapturedTensor } from "./capture_tensor.ts";
import {
  type Bool,
  type Expression,
  expressionOf,
  type Float,
  type Int,
  operandNode,
} from "../expression.ts";
import type {
  CapturedBuffer,
  CapturedData,
  CapturedTensor,
  DeviceReading,
  ScalarType,
} from "../nodes.ts";

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
 * Makes `data` readable in a mod: `Float32Array` as `Float`, `Int32Array` and
 * `Uint32Array` as `Int`, `Uint8Array` as `Bool` (nonzero is true).
 *
 * `Float16Array` and `{ data, dtype }` of 16 bits (see {@linkcode FloatBits})
 * are widened. Other arrays are not copied: each is read whenever a mod that uses it is emitted
 * or evaluated, and must not change once a mod that uses it is in use.
 *
 * A GPU tensor stays on its device: kernels read it each time that they run, so
 * that it may be written between two runs; nothing is read back or uploaded.
 * What its elements are is then not known on the CPU. No tile is skipped by
 * them, but for what `range` says, and who evaluates the mod there (the oracle,
 * `drawMask`) needs `hostMods(gpu, mods)` of `/ops`. A float that is not finite
 * is read as 0; integers of 2^31 and above are negative.
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
 * @example One that another kernel has computed
 * ```ts
 * import { attention, capture, openGpu, scoreMod } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * using learned = gpu.tensor(Float32Array.of(0, 0.5), [2]); // or gpu.wrap()
 * const bias = capture(learned);
 * const query = { data: new Float32Array(16), shape: [1, 2, 2, 4] };
 * const { output } = await attention(gpu, {
 *   query,
 *   key: query,
 *   value: query,
 *   scoreMod: scoreMod("bias", ({ score, head }) => score.add(bias.at(head))),
 * });
 * console.log(output.shape); // [1, 2, 2, 4]
 * ```
 *
 * @category Masks and scores
 */
export function capture(
  data: FloatData,
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
/** The same for floats on a device. */
export function capture(
  data: CapturedTensor,
  options?: TensorCaptureOptions<"float">,
): Capture<Float>;
/** The same for integers on a device. */
export function capture(
  data: CapturedTensor,
  options: TensorCaptureOptions<"int"> & { readonly as: "int" },
): Capture<Int>;
/** The same for booleans on a device. */
export function capture(
  data: CapturedTensor,
  options: TensorCaptureOptions<"bool" | "finite"> & {
    readonly as: "bool" | "finite";
  },
): Capture<Bool>;
export function capture(
  given: CapturedData | FloatData | CapturedTensor,
  options: TensorCaptureOptions<DeviceReading> = {},
): Capture {
  const { name = "capture", axes } = options;
  if (isCapturedTensor(given)) {
    return new Capture({
      ...describeTensorCapture(name, given, options),
      name,
      axes,
      given: options.given,
    });
  }
  checkOptions("capture()", options, {
    known: CAPTURE_OPTIONS,
    hints: {
      as: "what elements are is said by the array's class",
      range: "it is read off the array",
    },
  });
  const data = isFloat16(given) || isFloatBits(given)
    ? floatsOf(`${name} data`, given)
    : given;
  const type = typeOf(data);
  checkType(
    type !== undefined,
    `${name} data`,
    "must be a Float32Array, Float16Array, Int32Array, Uint32Array, Uint8Array, { data, dtype } of 16 bits, or a GPU tensor",
    data,
  );
  const shape = [...options.shape ?? [data.length]];
  checkShape(name, shape, data.length);
  checkAxes(name, axes, shape);
  checkElements(name, data);
  return new Capture({ data, shape, type, name, axes, given: options.given });
}

function typeOf(data: unknown): ScalarType | undefined {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array || data instanceof Uint32Array) return "i32";
  return data instanceof Uint8Array ? "bool" : undefined;
}

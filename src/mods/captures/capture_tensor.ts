/**
 * Captured tensors of a device: what their elements may be read as.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import {
  CAPTURE_OPTIONS,
  checkAxes,
  checkShape,
  type TensorCaptureOptions,
} from "./capture_options.ts";
import type {
  CapturedBuffer,
  CapturedTensor,
  DeviceData,
  DeviceReading,
  ScalarType,
} from "../nodes.ts";

/** Whether something is a tensor on a device, by what is asked of it. */
export function isCapturedTensor(data: unknown): data is CapturedTensor {
  return typeof data === "object" && data !== null && "gpu" in data &&
    "dtype" in data && "destroyed" in data;
}

/** What each reading gives, and of which elements. */
const READINGS: Readonly<
  Record<DeviceReading, { type: ScalarType; of: readonly string[] }>
> = {
  float: { type: "f32", of: ["f32", "f16"] },
  int: { type: "i32", of: ["u32", "i32", "u8"] },
  bool: { type: "bool", of: ["u32", "i32", "u8"] },
  finite: { type: "bool", of: ["f32", "f16"] },
};

/**
 * The data, type and shape of a captured tensor.
 *
 * @throws {TypeError} If it is destroyed, or options do not fit it.
 * @throws {RangeError} If it is empty, or bounds are out of range.
 */
export function describeTensorCapture(
  name: string,
  tensor: CapturedTensor,
  options: TensorCaptureOptions<DeviceReading>,
): Pick<CapturedBuffer, "type" | "shape"> & { readonly data: DeviceData } {
  checkOptions("capture()", options, {
    known: [...CAPTURE_OPTIONS, "as", "range"],
  });
  const { axes, as = "float", range } = options;
  checkType(!tensor.destroyed, name, "must not be destroyed", tensor);
  checkType(
    Object.hasOwn(READINGS, as),
    `${name} as`,
    'must be "float", "int", "bool" or "finite"',
    as,
  );
  const { type, of } = READINGS[as];
  checkType(
    of.includes(tensor.dtype),
    `${name} as`,
    `must be ${
      of.includes("u32") ? '"float" or "finite"' : '"int" or "bool"'
    } for a tensor of ${tensor.dtype}`,
    as,
  );
  const shape = [...options.shape ?? tensor.shape];
  if (shape.length === 0) shape.push(1);
  checkShape(name, shape, tensor.size);
  checkAxes(name, axes, shape);
  if (range !== undefined) checkBounds(name, range, as);
  return { data: { tensor, as, range }, shape, type };
}

function checkBounds(
  name: string,
  range: readonly [number, number],
  as: DeviceReading,
): void {
  checkType(
    as === "float" || as === "int",
    `${name} range`,
    "must not be given for booleans",
    range,
  );
  checkType(
    Array.isArray(range) && range.length === 2 &&
      range.every((bound) => typeof bound === "number"),
    `${name} range`,
    "must be [least, greatest]",
    range,
  );
  checkRange(
    range.every(Number.isFinite) && range[0] <= range[1] &&
      (as === "float" || range.every((bound) => bound === (bound | 0))),
    `${name} range`,
    `must be finite, ${as === "int" ? "of i32, " : ""}and least <= greatest`,
    range,
  );
}

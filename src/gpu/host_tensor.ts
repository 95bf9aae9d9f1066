/**
 * Tensors on the host, as a caller gives them.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { type DType, elementTypeOf } from "../core/dtype.ts";
import {
  fromBfloat16,
  fromFloat16,
  toFloat16,
  widenBits,
} from "../core/half.ts";
import type { Gpu } from "./gpu.ts";
import { GpuTensor } from "./tensor.ts";

/**
 * A host array with its shape.
 *
 * @category Device
 */
export interface HostTensor {
  /** The elements, row-major. */
  readonly data: Float32Array | Float16Array;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/**
 * Numbers of 16 bits on the host: bfloat16 as checkpoints have it, or float16
 * where there is no `Float16Array` (Node before 24).
 *
 * @category Device
 */
export interface HostBits {
  /** The elements' bits, row-major. */
  readonly data: Uint16Array;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
  /** What the bits mean. */
  readonly dtype: "bf16" | "f16";
  /**
   * What bf16 becomes on the device: `"f32"`, which is exact, by default, or
   * `"f16"`, rounded to nearest. f16 stays what it is.
   */
  readonly as?: DType;
}

/**
 * A tensor as dtype and shape: enough to make a plan.
 *
 * @category Device
 */
export interface TensorShape {
  /** The storage type. */
  readonly dtype: DType;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/**
 * The elements of a shape.
 *
 * @throws {TypeError} if it is no array
 * @throws {RangeError} if a length is not an integer, or they are 2^32 or more
 */
export function checkShape(name: string, shape: readonly number[]): number {
  checkType(Array.isArray(shape), `${name}.shape`, "must be an array", shape);
  shape.forEach((length, i) =>
    checkInteger(`${name}.shape[${i}]`, length, 0, 2 ** 32 - 1)
  );
  const size = shape.reduce((product, length) => product * length, 1);
  checkRange(size < 2 ** 32, name, "must have < 2^32 elements", size);
  return size;
}

/**
 * The dtype that a host tensor has on the device, and its shape.
 *
 * @throws {TypeError} if it is none, or its data are not of its shape
 * @throws {RangeError} if its shape is out of range
 */
export function describeHost(
  name: string,
  tensor: HostTensor | HostBits,
): TensorShape {
  const { data, shape } = tensor;
  checkType(
    !("strides" in tensor) || tensor.strides === undefined,
    `${name}.strides`,
    "must not be given here; query, key and value of attention() may have strides",
    (tensor as { strides?: unknown }).strides,
  );
  const size = checkShape(name, shape);
  const dtype = data instanceof Uint16Array
    ? dtypeOfBits(name, tensor as HostBits)
    : elementTypeOf(data);
  checkType(
    dtype === "f32" || dtype === "f16",
    `${name}.data`,
    'must be a Float32Array, a Float16Array, or a Uint16Array of bits with dtype: "bf16" or "f16"',
    data,
  );
  checkType(
    data.length === size,
    `${name}.data.length`,
    `must be ${size}, the product of shape [${shape.join(", ")}]`,
    data.length,
  );
  return { dtype, shape };
}

function dtypeOfBits(name: string, { dtype, as }: HostBits): DType {
  checkType(
    dtype === "bf16" || dtype === "f16",
    `${name}.dtype`,
    'must be "bf16" or "f16", as its data are a Uint16Array of bits',
    dtype,
  );
  checkType(
    as === undefined || as === "f16" || (as === "f32" && dtype === "bf16"),
    `${name}.as`,
    dtype === "bf16" ? 'must be "f32" or "f16"' : 'must be "f16"',
    as,
  );
  return dtype === "f16" ? "f16" : as ?? "f32";
}

/** A host tensor on the device; what is there already stays as it is. */
export interface Uploaded {
  /** The tensor. */
  readonly tensor: GpuTensor;
  /** Whether it was made here, and is to be destroyed. */
  readonly made: boolean;
}

/**
 * Uploads a host tensor; a tensor of the device is taken as it is.
 *
 * @throws {TypeError} as {@linkcode describeHost} does
 * @throws {RangeError} if a bf16 is too large for f16
 */
export function uploadHost(
  gpu: Gpu,
  tensor: GpuTensor | HostTensor | HostBits,
  { name, label }: { readonly name: string; readonly label: string },
): Uploaded {
  if (tensor instanceof GpuTensor) return { tensor, made: false };
  const { dtype, shape } = describeHost(name, tensor);
  const { data } = tensor;
  if (!(data instanceof Uint16Array)) {
    return { tensor: gpu.tensor(data, shape, label), made: true };
  }
  if (dtype === "f32") {
    const widened = widenBits(data, "bf16");
    return { tensor: gpu.tensor(widened, shape, label), made: true };
  }
  const bits = (tensor as HostBits).dtype === "bf16"
    ? narrowBfloat16(name, data)
    : data;
  const made = gpu.empty("f16", shape, label);
  made.writeBits(bits);
  return { tensor: made, made: true };
}

function narrowBfloat16(name: string, bits: Uint16Array): Uint16Array {
  return bits.map((own, i) => {
    const x = fromBfloat16(own);
    const half = toFloat16(x);
    checkRange(
      Number.isFinite(fromFloat16(half)) || !Number.isFinite(x),
      `${name}.data[${i}]`,
      "must be within +-65504 to become f16",
      x,
    );
    return half;
  });
}

/**
 * Tensors as a caller gives them: on the host, on the device, or as a shape.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { type DType, elementTypeOf } from "../core/dtype.ts";
import { GpuTensor } from "../gpu/mod.ts";

/** A host array with its shape. */
export interface HostTensor {
  /** The elements, row-major. */
  readonly data: Float32Array | Float16Array;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/** A tensor that is not there yet: enough to make a plan. */
export interface TensorShape {
  /** The storage type. */
  readonly dtype: DType;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/** Any form of tensor, of which only dtype and shape matter for a problem. */
export type AnyTensor = GpuTensor | HostTensor | TensorShape;

/** The dtype and shape of a tensor, wherever it is. */
export function describeTensor(name: string, tensor: unknown): TensorShape {
  if (tensor instanceof GpuTensor) {
    void tensor.buffer; // Throws where it is destroyed.
    const { dtype, shape } = tensor;
    checkType(dtype !== "u32", `${name}.dtype`, "must be f32 or f16", dtype);
    return { dtype, shape };
  }
  checkType(
    typeof tensor === "object" && tensor !== null && "shape" in tensor,
    name,
    "must be a GpuTensor or { data, shape }",
    tensor,
  );
  const { shape } = tensor as TensorShape;
  checkType(Array.isArray(shape), `${name}.shape`, "must be an array", shape);
  shape.forEach((length, i) =>
    checkInteger(`${name}.shape[${i}]`, length, 0, 2 ** 32 - 1)
  );
  const size = shape.reduce((product, length) => product * length, 1);
  checkRange(size < 2 ** 32, name, "must have < 2^32 elements", size);
  if (!("data" in tensor)) {
    const { dtype } = tensor as TensorShape;
    checkType(
      dtype === "f32" || dtype === "f16",
      `${name}.dtype`,
      "must be f32 or f16",
      dtype,
    );
    return { dtype, shape };
  }
  const { data } = tensor as HostTensor;
  const dtype = elementTypeOf(data);
  checkType(
    dtype === "f32" || dtype === "f16",
    `${name}.data`,
    "must be a Float32Array or Float16Array",
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

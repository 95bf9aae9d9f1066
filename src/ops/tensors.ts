/**
 * Tensors as a caller gives them: on the host, on the device, or as a shape.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import {
  checkShape,
  describeHost,
  type HostBits,
  type HostTensor,
  type TensorShape,
} from "../gpu/host_tensor.ts";
import { GpuTensor } from "../gpu/mod.ts";
import type { StridedShape, StridedTensor } from "./strided.ts";

export type { HostBits, HostTensor, TensorShape };

/**
 * Any form of tensor, of which only dtype and shape matter for a problem.
 *
 * @category Attention
 */
export type AnyTensor =
  | GpuTensor
  | HostTensor
  | HostBits
  | TensorShape
  | StridedTensor
  | StridedShape;

/** The dtype and shape of a tensor, wherever it is. */
export function describeTensor(name: string, tensor: unknown): TensorShape {
  if (tensor instanceof GpuTensor) {
    void tensor.buffer; // Throws where it is destroyed.
    const { dtype, shape } = tensor;
    checkType(
      dtype === "f32" || dtype === "f16",
      `${name}.dtype`,
      "must be f32 or f16",
      dtype,
    );
    return { dtype, shape };
  }
  checkType(
    typeof tensor === "object" && tensor !== null && "shape" in tensor,
    name,
    "must be a GpuTensor or { data, shape }",
    tensor,
  );
  checkType(
    !("strides" in tensor) || tensor.strides === undefined,
    `${name}.strides`,
    "must not be given here; query, key and value of attention() may have strides",
    (tensor as StridedShape).strides,
  );
  checkType(
    !("offset" in tensor) || tensor.offset === undefined,
    `${name}.offset`,
    "must not be given without strides",
    (tensor as Partial<StridedShape>).offset,
  );
  if ("data" in tensor) {
    return describeHost(name, tensor as HostTensor | HostBits);
  }
  const { dtype, shape } = tensor as TensorShape;
  checkShape(name, shape);
  checkType(
    dtype === "f32" || dtype === "f16",
    `${name}.dtype`,
    "must be f32 or f16",
    dtype,
  );
  return { dtype, shape };
}

/**
 * Throws unless a tensor has this dtype and shape.
 *
 * @throws {TypeError} naming it
 */
export function checkLike(
  name: string,
  tensor: unknown,
  expected: { readonly dtype: string; readonly shape: readonly number[] },
): void {
  const { dtype, shape } = describeTensor(name, tensor);
  checkType(
    dtype === expected.dtype,
    `${name}.dtype`,
    `must be ${expected.dtype}`,
    dtype,
  );
  checkType(
    shape.join() === expected.shape.join(),
    `${name}.shape`,
    `must be [${expected.shape.join(", ")}]`,
    shape,
  );
}

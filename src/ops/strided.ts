/**
 * Tensors whose rows lie apart in what holds them, as slices and transposed
 * views of other libraries do.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { elementTypeOf } from "../core/dtype.ts";
import { checkShape, type TensorShape } from "../gpu/host_tensor.ts";
import { GpuTensor } from "../gpu/mod.ts";

/**
 * Where rows lie: the element of index `[i, j, ...]` is at
 * `offset + i * strides[0] + j * strides[1] + ...`.
 *
 * @category Attention
 */
export interface Strides {
  /** The lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
  /**
   * Elements from one index of a dimension to the next, for all dimensions, or
   * for all but the last, whose elements lie side by side. 0 repeats what is
   * there, as `expand()` does.
   */
  readonly strides: readonly number[];
  /** The first element; 0 by default. */
  readonly offset?: number;
}

/**
 * A part of a tensor or of a host array, read as it lies.
 *
 * @category Attention
 */
export type StridedTensor = StridedGpuTensor | StridedHostTensor;

/**
 * A part of a GPU tensor, whatever shape that has.
 *
 * @category Attention
 */
export interface StridedGpuTensor extends Strides {
  /** What holds the rows. */
  readonly tensor: GpuTensor;
}

/**
 * A part of a host array, which is uploaded whole.
 *
 * @category Attention
 */
export interface StridedHostTensor extends Strides {
  /** What holds the rows. */
  readonly data: Float32Array | Float16Array;
}

/**
 * Dtype, shape and strides: enough to make a plan.
 *
 * @category Attention
 */
export interface StridedShape extends Strides {
  /** The storage type. */
  readonly dtype: TensorShape["dtype"];
}

/** Checked strides, a dimension of size 0 or 1 with 0, without the last. */
export interface CheckedStrides {
  /** Of each dimension but the last. */
  readonly strides: readonly number[];
  /** The first element. */
  readonly offset: number;
  /** One past the last element that is reached. */
  readonly extent: number;
}

/** Whether something is a tensor with strides, or is meant to be. */
export function isStrided(
  tensor: unknown,
): tensor is StridedTensor | StridedShape {
  return typeof tensor === "object" && tensor !== null &&
    !(tensor instanceof GpuTensor) && "strides" in tensor &&
    tensor.strides !== undefined;
}

/** What holds a strided tensor's rows. */
export function storageOf(
  tensor: StridedTensor,
): GpuTensor | { readonly data: Float32Array | Float16Array; shape: number[] } {
  if ("tensor" in tensor) return tensor.tensor;
  return { data: tensor.data, shape: [tensor.data.length] };
}

/**
 * The dtype, shape and strides of a strided tensor.
 *
 * @throws {TypeError} If it has another form.
 * @throws {RangeError} If strides are out of range, or reach past what holds
 * the rows.
 */
export function describeStrided(
  name: string,
  tensor: StridedTensor | StridedShape,
): TensorShape & { readonly strided: CheckedStrides } {
  const { shape } = tensor;
  checkShape(name, shape);
  const strided = checkStrides({
    strides: `${name}.strides`,
    offset: `${name}.offset`,
  }, tensor);
  const holds = "tensor" in tensor
    ? tensor.tensor
    : "data" in tensor
    ? tensor.data
    : undefined;
  if (holds === undefined) {
    const { dtype } = tensor as StridedShape;
    return { dtype: checkedDtype(name, dtype), shape, strided };
  }
  const onDevice = holds instanceof GpuTensor;
  checkType(
    onDevice || ArrayBuffer.isView(holds),
    "tensor" in tensor ? `${name}.tensor` : `${name}.data`,
    "tensor" in tensor
      ? "must be a GpuTensor"
      : "must be a Float32Array or a Float16Array",
    holds,
  );
  if (onDevice) void holds.buffer; // Throws where it is destroyed.
  const size = onDevice ? holds.size : holds.length;
  checkRange(
    strided.extent <= size,
    `${name}.strides`,
    `must stay within the ${size} elements that hold the rows; they reach ${strided.extent}`,
    tensor.strides,
  );
  const dtype = onDevice ? holds.dtype : elementTypeOf(holds);
  return { dtype: checkedDtype(name, dtype), shape, strided };
}

function checkedDtype(name: string, dtype: unknown): TensorShape["dtype"] {
  checkType(
    dtype === "f32" || dtype === "f16",
    `${name}.dtype`,
    "must be f32 or f16",
    dtype,
  );
  return dtype;
}

/**
 * Strides of a shape, checked.
 *
 * @throws {TypeError} If there are not as many as dimensions, or elements of a
 * row do not lie side by side.
 * @throws {RangeError} If one is not an integer >= 0, or an index is too large.
 */
export function checkStrides(
  names: { readonly strides: string; readonly offset: string },
  { shape, strides, offset = 0 }: Strides,
): CheckedStrides {
  const rank = shape.length;
  checkType(
    Array.isArray(strides) &&
      (strides.length === rank || strides.length === rank - 1),
    names.strides,
    `must be an array of ${rank} strides in elements, or ${
      rank - 1
    } without the last dimension's`,
    strides,
  );
  strides.forEach((stride, i) =>
    checkInteger(`${names.strides}[${i}]`, stride, 0, 2 ** 32 - 1)
  );
  const last = shape[rank - 1];
  checkType(
    strides.length < rank || strides[rank - 1] === 1 || last <= 1,
    `${names.strides}[${rank - 1}]`,
    "must be 1 (strides are in elements, not bytes), as elements of a row lie side by side; copy it to be so, or check layout where heads come first",
    strides[rank - 1],
  );
  checkInteger(names.offset, offset, 0, 2 ** 32 - 1);
  const own = shape.slice(0, -1).map((size, i) => size > 1 ? strides[i] : 0);
  const empty = shape.some((size) => size === 0);
  const extent = empty ? 0 : offset +
    own.reduce((sum, stride, i) => sum + stride * (shape[i] - 1), last);
  checkRange(
    extent < 2 ** 32,
    names.strides,
    "must reach fewer than 2^32 elements",
    extent,
  );
  return { strides: own, offset, extent };
}

/**
 * Throws where two rows of what is written would overlap.
 *
 * @throws {RangeError} Naming the stride that is too small.
 */
export function checkApart(
  name: string,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const order = strides.map((stride, axis) => ({ stride, axis }))
    .filter(({ axis }) => shape[axis] > 1)
    .sort((a, b) => a.stride - b.stride);
  let extent = shape[shape.length - 1];
  for (const { stride, axis } of order) {
    checkRange(
      stride >= extent,
      `${name}[${axis}]`,
      `must be >= ${extent}, so that rows which are written do not overlap`,
      stride,
    );
    extent += stride * (shape[axis] - 1);
  }
}

/**
 * Tensors on the device: a buffer, an element type and a shape.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import {
  bytesPerElement,
  type ElementType,
  elementTypeOf,
  type HostArray,
} from "../core/dtype.ts";
import { checkOwner, type GpuBuffer, setOwner } from "./buffers/buffer.ts";
import type { DeviceContext } from "./device_context.ts";
import { BufferUsage, roundUp, TENSOR_USAGE } from "./buffers/usage.ts";

/**
 * Tensor buffers are a multiple of one `vec4f`, so that a shader may read any
 * tensor as four-wide vectors and still reach its last element.
 */
const TENSOR_ALIGNMENT = 16;

/**
 * A dense, row-major array on the device.
 *
 * @example A buffer of one's own as a tensor
 * ```ts
 * import { openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const { STORAGE, COPY_SRC } = GPUBufferUsage;
 * const buffer = gpu.device.createBuffer({ size: 64, usage: STORAGE | COPY_SRC });
 * const tensor = gpu.wrap(buffer, "f32", [4, 4]);
 * console.log(tensor.size, tensor.byteLength); // 16 64
 * ```
 *
 * @category Device
 */
export class GpuTensor implements Disposable {
  /** The device it lives on. */
  readonly gpu: DeviceContext;
  /** The type of its elements. */
  readonly dtype: ElementType;
  /** The lengths of its dimensions, outermost first. */
  readonly shape: readonly number[];
  /** The number of its elements. */
  readonly size: number;
  /** The bytes of its elements, without padding. */
  readonly byteLength: number;
  /** Where it starts in the buffer, in bytes. */
  readonly offset: number;
  #buffer: GPUBuffer;
  #owned: GpuBuffer | undefined;
  #destroyed = false;

  /** Made by `Gpu.tensor()`, `empty` and `wrap`. */
  constructor(gpu: DeviceContext, parts: {
    dtype: ElementType;
    shape: readonly number[];
    buffer: GPUBuffer;
    offset: number;
    owned?: GpuBuffer;
  }) {
    this.gpu = gpu;
    this.dtype = parts.dtype;
    this.shape = Object.freeze([...parts.shape]);
    this.size = sizeOf(parts.shape);
    this.byteLength = this.size * bytesPerElement(parts.dtype);
    this.offset = parts.offset;
    this.#buffer = parts.buffer;
    this.#owned = parts.owned;
  }

  /**
   * The WebGPU buffer.
   *
   * @throws {TypeError} Where the tensor is destroyed.
   */
  get buffer(): GPUBuffer {
    if (this.destroyed) {
      throw new TypeError(
        `Cannot use tensor ${
          JSON.stringify(this.label)
        } as it has been destroyed`,
      );
    }
    return this.#buffer;
  }

  /** The label of its buffer. */
  get label(): string {
    return this.#buffer.label;
  }

  /** Whether {@linkcode GpuTensor.destroy} has been called. */
  get destroyed(): boolean {
    return this.#destroyed || (this.#owned?.destroyed ?? false);
  }

  /**
   * Overwrites all elements, in queue order.
   *
   * @throws {TypeError} Where `array` has another dtype or length.
   */
  write(array: HostArray): void {
    this.gpu.check();
    checkType(
      elementTypeOf(array) === this.dtype,
      "array",
      `must carry ${this.dtype}`,
      array,
    );
    checkType(
      array.length === this.size,
      "array.length",
      `must be ${this.size}`,
      array.length,
    );
    upload(this.gpu, this.buffer, this.offset, array);
  }

  /**
   * Overwrites all elements of an f16 tensor by their bits, in queue order: for
   * runtimes without `Float16Array`.
   *
   * @throws {TypeError} Where the tensor is not f16, or the length another.
   */
  writeBits(bits: Uint16Array): void {
    this.gpu.check();
    checkType(this.dtype === "f16", "dtype", "must be f16", this.dtype);
    checkType(
      bits instanceof Uint16Array && bits.length === this.size,
      "bits",
      `must be a Uint16Array of ${this.size}`,
      bits,
    );
    upload(this.gpu, this.buffer, this.offset, bits);
  }

  /** Frees the memory, except a caller's; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    this.#owned?.destroy();
  }

  /** The same as {@linkcode GpuTensor.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** The product of a shape's dimensions, each checked to be >= 0. */
export function sizeOf(shape: readonly number[]): number {
  checkType(Array.isArray(shape), "shape", "must be an array", shape);
  shape.forEach((length, i) => checkInteger(`shape[${i}]`, length, 0));
  const size = shape.reduce((product, length) => product * length, 1);
  checkRange(
    Number.isSafeInteger(size),
    "shape",
    "must have a product below 2^53",
    shape,
  );
  return size;
}

/** `writeBuffer` takes multiples of 4 bytes only; an odd f16 or u8 is padded. */
function upload(
  gpu: DeviceContext,
  buffer: GPUBuffer,
  offset: number,
  array: HostArray | Uint16Array,
): void {
  const bytes = new Uint8Array(
    array.buffer as ArrayBuffer,
    array.byteOffset,
    array.byteLength,
  );
  const whole = bytes.length - bytes.length % 4;
  if (whole > 0) gpu.queue.writeBuffer(buffer, offset, bytes, 0, whole);
  if (whole < bytes.length) {
    const tail = new Uint8Array(4);
    tail.set(bytes.subarray(whole));
    gpu.queue.writeBuffer(buffer, offset + whole, tail);
  }
}

/** See `Gpu.empty()`. */
export function emptyTensor(
  gpu: DeviceContext,
  dtype: ElementType,
  shape: readonly number[],
  label: string,
): GpuTensor {
  checkDtype(dtype);
  const bytes = sizeOf(shape) * bytesPerElement(dtype);
  const owned = gpu.createBuffer({
    label,
    size: Math.max(TENSOR_ALIGNMENT, roundUp(bytes, TENSOR_ALIGNMENT)),
    usage: TENSOR_USAGE,
  });
  return new GpuTensor(gpu, {
    dtype,
    shape,
    buffer: owned.buffer,
    offset: 0,
    owned,
  });
}

/** See `Gpu.tensor()`. */
export function uploadTensor(
  gpu: DeviceContext,
  array: HostArray,
  shape: readonly number[],
  label: string,
): GpuTensor {
  const dtype = elementTypeOf(array);
  checkType(
    dtype,
    "array",
    "must be a Float32Array, Float16Array, Uint32Array, Int32Array or Uint8Array",
    array,
  );
  const size = sizeOf(shape);
  checkType(
    size === array.length,
    "array.length",
    `must be ${size}, the product of shape [${shape.join(", ")}]`,
    array.length,
  );
  const tensor = emptyTensor(gpu, dtype, shape, label);
  upload(gpu, tensor.buffer, 0, array);
  return tensor;
}

/** See `Gpu.wrap()`. */
export function wrapBuffer(
  gpu: DeviceContext,
  buffer: GPUBuffer,
  dtype: ElementType,
  shape: readonly number[],
  offset: number,
): GpuTensor {
  checkDtype(dtype);
  checkOwner("buffer", buffer, gpu.device);
  checkType(
    (buffer.usage & BufferUsage.storage) !== 0,
    "buffer.usage",
    "must include STORAGE",
    buffer.usage,
  );
  checkInteger("offset", offset, 0);
  const alignment = gpu.limits.minStorageBufferOffsetAlignment;
  checkRange(
    offset % alignment === 0,
    "offset",
    `must be a multiple of minStorageBufferOffsetAlignment (${alignment})`,
    offset,
  );
  const end = offset +
    Math.max(4, roundUp(sizeOf(shape) * bytesPerElement(dtype), 4));
  checkRange(
    end <= buffer.size,
    "buffer.size",
    `must be >= ${end}, which shape [${
      shape.join(", ")
    }] of ${dtype} at offset ${offset} needs`,
    buffer.size,
  );
  setOwner(buffer, gpu.device);
  return new GpuTensor(gpu, { dtype, shape, buffer, offset });
}

const DTYPES: readonly ElementType[] = ["f32", "f16", "u32", "i32", "u8"];

function checkDtype(dtype: unknown): void {
  checkType(
    DTYPES.includes(dtype as ElementType),
    "dtype",
    'must be "f32", "f16", "u32", "i32" or "u8"',
    dtype,
  );
}

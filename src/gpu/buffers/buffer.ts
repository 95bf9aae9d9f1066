/**
 * Buffers that are counted, checked against the limits, and freed once.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { roundUp } from "./usage.ts";

/** Which device a buffer is known to be of; WebGPU itself does not tell. */
const owners = new WeakMap<GPUBuffer, GPUDevice>();

/** Notes that `buffer` is of `device`. */
export function setOwner(buffer: GPUBuffer, device: GPUDevice): void {
  owners.set(buffer, device);
}

/**
 * Throws a `TypeError` where `buffer` is known to be of another device. One
 * that has never been seen passes here; WebGPU's validation then finds it.
 */
export function checkOwner(
  name: string,
  buffer: GPUBuffer,
  device: GPUDevice,
): void {
  const owner = owners.get(buffer);
  if (owner !== undefined && owner !== device) {
    throw new TypeError(
      `${name} must be a buffer of this device: current value is ${
        JSON.stringify(buffer.label)
      } of another device`,
    );
  }
}

/**
 * What a buffer is to be.
 *
 * @category Device
 */
export interface BufferOptions {
  /** Its label in error messages. Defaults to `"buffer"`. */
  readonly label?: string;
  /** Bytes that are needed; rounded up to a multiple of 4, at least 4. */
  readonly size: number;
  /** WebGPU usage flags. */
  readonly usage: number;
}

/**
 * A buffer that its `Gpu` made and counts.
 *
 * @example A buffer of one's own size and usage
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * using buffer = gpu.createBuffer({
 *   size: 1024,
 *   usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
 * });
 * assertEquals(buffer.size, 1024);
 * ```
 *
 * @category Device
 */
export class GpuBuffer implements Disposable {
  /** The WebGPU buffer. */
  readonly buffer: GPUBuffer;
  /** Its bytes. */
  readonly size: number;
  /** Its WebGPU usage flags. */
  readonly usage: number;
  #uncount: ((self: GpuBuffer) => void) | undefined;

  /** Made by `Gpu.createBuffer()`; `uncount` runs once. */
  constructor(buffer: GPUBuffer, uncount: (self: GpuBuffer) => void) {
    this.buffer = buffer;
    this.size = buffer.size;
    this.usage = buffer.usage;
    this.#uncount = uncount;
  }

  /** Whether it has been destroyed or abandoned: it is not to be used again. */
  get destroyed(): boolean {
    return this.#uncount === undefined;
  }

  /** Frees the memory; further calls do nothing. */
  destroy(): void {
    if (this.destroyed) return;
    this.buffer.destroy();
    this.abandon();
  }

  /**
   * Counts it no more, and leaves its memory to the garbage collector: for a
   * buffer that recorded commands still use, which may be submitted at any time.
   * Further calls do nothing.
   */
  abandon(): void {
    const uncount = this.#uncount;
    this.#uncount = undefined;
    uncount?.(this);
  }

  /** The same as {@linkcode GpuBuffer.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** Throws a `RangeError` unless a buffer of `size` bytes can be made. */
export function checkBufferSize(device: GPUDevice, size: number): void {
  checkInteger("size", size, 0);
  const limit = device.limits.maxBufferSize;
  checkRange(
    Math.max(4, roundUp(size, 4)) <= limit,
    "size",
    `must be <= maxBufferSize (${limit} bytes)`,
    size,
  );
}

/** Makes the WebGPU buffer; sizes are checked before the device sees them. */
export function createRawBuffer(
  device: GPUDevice,
  options: BufferOptions,
): GPUBuffer {
  const { label = "buffer", size, usage } = options;
  checkBufferSize(device, size);
  const buffer = device.createBuffer({
    label,
    size: Math.max(4, roundUp(size, 4)),
    usage,
  });
  setOwner(buffer, device);
  return buffer;
}

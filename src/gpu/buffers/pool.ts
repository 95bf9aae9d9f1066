/**
 * Scratch buffers that are used again instead of being made again.
 *
 * @module
 */

import type { GpuBuffer } from "./buffer.ts";
import type { DeviceContext } from "../device_context.ts";
import { BufferUsage, roundUp, TENSOR_USAGE } from "./usage.ts";

/** How much idle memory a {@linkcode BufferPool} keeps. */
export interface BufferPoolOptions {
  /** Idle buffers kept at most. Defaults to 64. */
  readonly maxCount?: number;
  /** Idle bytes kept at most. Defaults to 64 MiB. */
  readonly maxBytes?: number;
}

/** Bytes of the buffer that poison is copied from. */
const POISON_BYTES = 64 * 1024;

/**
 * Idle buffers by size and usage. A buffer's old content stays in it; release
 * one only after the commands that use it have been submitted, and abandon one
 * where that cannot be known.
 *
 * @example A buffer that is used again
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const one = gpu.scratch.acquire(4096);
 * gpu.scratch.release(one);
 * assertEquals(gpu.scratch.acquire(4096), one);
 * ```
 *
 * @category Device
 */
export class BufferPool {
  /**
   * Fills every acquired buffer with NaN bytes (all ones), and the scratch of
   * a program before each run, so that a test sees any read of what was never
   * written.
   */
  poison = false;
  #gpu: DeviceContext;
  #maxCount: number;
  #maxBytes: number;
  #idle = new Map<string, GpuBuffer[]>();
  #out = new Set<GpuBuffer>();
  #count = 0;
  #bytes = 0;
  #poisonSource: GPUBuffer | undefined;

  /** An empty pool on `gpu`. */
  constructor(gpu: DeviceContext, options: BufferPoolOptions = {}) {
    this.#gpu = gpu;
    this.#maxCount = options.maxCount ?? 64;
    this.#maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
  }

  /** The number and bytes of the buffers that wait to be used again. */
  get idle(): { count: number; bytes: number } {
    return { count: this.#count, bytes: this.#bytes };
  }

  /**
   * A buffer of at least `size` bytes (rounded up to 16), to be given back
   * with {@linkcode BufferPool.release} or destroyed. One that is used again
   * keeps the label that it was made with.
   */
  acquire(
    size: number,
    label = "scratch",
    usage: number = TENSOR_USAGE,
  ): GpuBuffer {
    this.#gpu.check();
    const bytes = Math.max(16, roundUp(size, 16));
    const buffer = this.#take(bytes, usage) ??
      this.#gpu.createBuffer({ label, size: bytes, usage });
    this.#out.add(buffer);
    if (this.poison) this.#fill(buffer);
    return buffer;
  }

  /**
   * Takes a buffer back. Those beyond the caps are destroyed.
   *
   * @throws {TypeError} Where it was not acquired here, or was released.
   */
  release(buffer: GpuBuffer): void {
    this.#handBack("release", buffer);
    if (buffer.destroyed) return;
    if (
      this.#count + 1 > this.#maxCount ||
      this.#bytes + buffer.size > this.#maxBytes
    ) {
      buffer.destroy();
      return;
    }
    const key = `${buffer.size}/${buffer.usage}`;
    const list = this.#idle.get(key);
    if (list) list.push(buffer);
    else this.#idle.set(key, [buffer]);
    this.#count++;
    this.#bytes += buffer.size;
  }

  /**
   * Gives up a buffer that recorded commands may still use: see
   * {@linkcode GpuBuffer.abandon}.
   *
   * @throws {TypeError} Where it was not acquired here, or was released.
   */
  abandon(buffer: GpuBuffer): void {
    this.#handBack("abandon", buffer);
    buffer.abandon();
  }

  /** Records a command that fills a buffer with NaN bytes, where poison is on. */
  encodePoison(encoder: GPUCommandEncoder, { buffer, size }: GpuBuffer): void {
    if (!this.poison) return;
    const source = this.#poisonSource ??= poisonSource(this.#gpu.device);
    for (let at = 0; at < size; at += POISON_BYTES) {
      const bytes = Math.min(POISON_BYTES, size - at);
      encoder.copyBufferToBuffer(source, 0, buffer, at, bytes);
    }
  }

  /** Destroys all idle buffers; those that are out stay valid. */
  clear(): void {
    for (const list of this.#idle.values()) {
      for (const buffer of list) buffer.destroy();
    }
    this.#idle.clear();
    this.#count = 0;
    this.#bytes = 0;
  }

  #handBack(what: string, buffer: GpuBuffer): void {
    if (this.#out.delete(buffer)) return;
    throw new TypeError(`Cannot ${what} a buffer that is not out of this pool`);
  }

  #take(bytes: number, usage: number): GpuBuffer | undefined {
    const buffer = this.#idle.get(`${bytes}/${usage}`)?.pop();
    if (buffer === undefined) return undefined;
    this.#count--;
    this.#bytes -= buffer.size;
    return buffer;
  }

  #fill(buffer: GpuBuffer): void {
    const ones = new Uint8Array(buffer.size).fill(0xff);
    this.#gpu.queue.writeBuffer(buffer.buffer, 0, ones);
  }
}

/** Only tests have one, so it is neither counted nor destroyed. */
function poisonSource(device: GPUDevice): GPUBuffer {
  const buffer = device.createBuffer({
    label: "poison",
    size: POISON_BYTES,
    usage: BufferUsage.copySrc,
    mappedAtCreation: true,
  });
  new Uint8Array(buffer.getMappedRange()).fill(0xff);
  buffer.unmap();
  return buffer;
}

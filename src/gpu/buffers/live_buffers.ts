/**
 * The buffers that are alive on a device, counted.
 *
 * @module
 */

import { type BufferOptions, createRawBuffer, GpuBuffer } from "./buffer.ts";

/**
 * What is alive on a `Gpu`, pooled and staging buffers included.
 *
 * @category Device
 */
export interface GpuStats {
  /** Live buffers that we made. */
  readonly buffers: number;
  /** Their bytes. */
  readonly bytes: number;
  /** The most bytes that were alive at one time. */
  readonly peakBytes: number;
  /** Compiled pipelines. */
  readonly pipelines: number;
}

/** Makes buffers, and knows which were not destroyed yet. */
export class LiveBuffers {
  readonly #live: Set<GpuBuffer> = new Set();
  #bytes = 0;
  #peakBytes = 0;

  /** How many there are. */
  get buffers(): number {
    return this.#live.size;
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most bytes that were alive at one time. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Makes one; fresh ones are all zeros. */
  create(device: GPUDevice, options: BufferOptions): GpuBuffer {
    const buffer = new GpuBuffer(createRawBuffer(device, options), (self) => {
      this.#live.delete(self);
      this.#bytes -= self.size;
    });
    this.#live.add(buffer);
    this.#bytes += buffer.size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
    return buffer;
  }

  /** Destroys all of them, but not those that were abandoned. */
  destroy(): void {
    for (const buffer of [...this.#live]) buffer.destroy();
  }
}

/**
 * Reading tensors back to the host: one submit and one map for many tensors,
 * through staging buffers that are used again.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import { type HostArray, hostArrayOf } from "../../core/dtype.ts";
import type { GpuBuffer } from "./buffer.ts";
import { labelled } from "../errors.ts";
import type { DeviceContext } from "../device_context.ts";
import { GpuTensor } from "../tensor.ts";
import { BufferUsage, MAP_READ, roundUp } from "./usage.ts";

/**
 * How a read is made.
 *
 * @category Device
 */
export interface ReadOptions {
  /** Aborts the wait; the read then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

const MAX_IDLE = 4;
const MIN_STAGING = 64 * 1024;
const MAX_KEPT = 64 * 1024 * 1024;

/** The staging buffers of one `Gpu`. */
export class StagingRing {
  #gpu: DeviceContext;
  #idle: GpuBuffer[] = [];
  #made = 0;

  /** An empty ring on `gpu`. */
  constructor(gpu: DeviceContext) {
    this.#gpu = gpu;
  }

  /** See `Gpu.read()`. */
  async read(
    tensors: readonly GpuTensor[],
    options: ReadOptions = {},
  ): Promise<HostArray[]> {
    const { signal } = options;
    this.#gpu.check();
    checkTensors(this.#gpu, tensors);
    signal?.throwIfAborted();
    const starts = placesOf(tensors);
    const bytes = starts[tensors.length];
    if (bytes === 0) {
      await this.#gpu.flushErrors();
      return tensors.map((tensor) =>
        hostArrayOf(tensor.dtype, new ArrayBuffer(0))
      );
    }
    const staging = this.#acquire(bytes);
    const done = this.#copyAndMap(staging, tensors, starts);
    return await (signal ? orAbort(done, signal) : done);
  }

  /** Destroys the idle staging buffers. */
  clear(): void {
    for (const buffer of this.#idle) buffer.destroy();
    this.#idle = [];
  }

  /** Runs to its end also when nobody waits any more, to free the staging. */
  async #copyAndMap(
    staging: GpuBuffer,
    tensors: readonly GpuTensor[],
    starts: readonly number[],
  ): Promise<HostArray[]> {
    const bytes = starts[tensors.length];
    let reusable = false;
    try {
      await Promise.all([
        this.#copy(staging, tensors, starts),
        staging.buffer.mapAsync(MAP_READ, 0, bytes),
      ]);
      await this.#gpu.flushErrors();
      const mapped = staging.buffer.getMappedRange(0, bytes);
      const arrays = tensors.map((tensor, i) =>
        take(tensor, mapped, starts[i])
      );
      staging.buffer.unmap();
      reusable = true;
      return arrays;
    } catch (error) {
      throw await this.#gpu.lossOr(error);
    } finally {
      if (reusable) this.#release(staging);
      else staging.destroy();
    }
  }

  async #copy(
    staging: GpuBuffer,
    tensors: readonly GpuTensor[],
    starts: readonly number[],
  ): Promise<void> {
    const { device, queue } = this.#gpu;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder({ label: "readback" });
    tensors.forEach((tensor, i) => {
      if (tensor.size === 0) return;
      encoder.copyBufferToBuffer(
        tensor.buffer,
        tensor.offset,
        staging.buffer,
        starts[i],
        roundUp(tensor.byteLength, 4),
      );
    });
    queue.submit([encoder.finish()]);
    const error = await device.popErrorScope();
    if (error) throw labelled("read back", error);
  }

  #acquire(bytes: number): GpuBuffer {
    let best = -1;
    this.#idle.forEach((buffer, i) => {
      if (buffer.size < bytes) return;
      if (best < 0 || buffer.size < this.#idle[best].size) best = i;
    });
    if (best >= 0) return this.#idle.splice(best, 1)[0];
    const limit = this.#gpu.limits.maxBufferSize;
    checkRange(
      bytes <= limit,
      "tensors",
      `must need <= maxBufferSize (${limit} bytes) in all`,
      bytes,
    );
    const size = Math.max(MIN_STAGING, 2 ** Math.ceil(Math.log2(bytes)));
    return this.#gpu.createBuffer({
      label: `readback.${this.#made++}`,
      size: size <= limit ? size : bytes,
      usage: BufferUsage.mapRead | BufferUsage.copyDst,
    });
  }

  #release(staging: GpuBuffer): void {
    const keep = !this.#gpu.lost && this.#idle.length < MAX_IDLE &&
      staging.size <= MAX_KEPT;
    if (keep) this.#idle.push(staging);
    else staging.destroy();
  }
}

/** Checks all of them before anything is recorded. */
function checkTensors(gpu: DeviceContext, tensors: readonly GpuTensor[]): void {
  tensors.forEach((tensor, i) => {
    const name = `tensors[${i}]`;
    checkType(
      tensor instanceof GpuTensor,
      name,
      "must be a GpuTensor",
      tensor,
    );
    checkType(tensor.gpu === gpu, name, "must be of this Gpu", tensor.label);
    checkType(
      (tensor.buffer.usage & BufferUsage.copySrc) !== 0,
      `${name}.buffer.usage`,
      "must include COPY_SRC",
      tensor.buffer.usage,
    );
  });
}

/** Where each tensor starts in the staging buffer, and the end of all. */
function placesOf(tensors: readonly GpuTensor[]): number[] {
  const starts = [0];
  for (const tensor of tensors) {
    // 8 is what getMappedRange asks of an offset; copies need 4 only.
    starts.push(starts[starts.length - 1] + roundUp(tensor.byteLength, 8));
  }
  return starts;
}

function take(
  tensor: GpuTensor,
  mapped: ArrayBuffer,
  start: number,
): HostArray {
  const bytes = mapped.slice(start, start + tensor.byteLength);
  return hostArrayOf(tensor.dtype, bytes);
}

function orAbort<T>(done: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    done.then(resolve, reject).finally(() =>
      signal.removeEventListener("abort", abort)
    );
  });
}

/**
 * Times of compute passes by the device's own clock.
 *
 * @module
 */

import { checkInteger, checkRange } from "../core/check.ts";
import { UnsupportedError } from "../core/errors.ts";
import type { GpuBuffer } from "./buffers/buffer.ts";
import type { Gpu } from "./gpu.ts";
import { BufferUsage, MAP_READ } from "./buffers/usage.ts";

/** WebGPU's limit on the queries of one set, two of which make a pass. */
const MAX_PASSES = 2048;

/**
 * Times up to `capacity` compute passes with one resolve and one map.
 *
 * Open each pass with `encoder.beginComputePass(timer.pass(label))`, call
 * {@linkcode PassTimer.resolve} on the last encoder before it is finished,
 * submit, and await {@linkcode PassTimer.read}.
 *
 * @example How long a plan takes on the device
 * ```ts
 * import { planAttention } from "@quire/attention";
 * import { openGpu, PassTimer, timingUnsupported } from "@quire/attention/gpu";
 *
 * using gpu = await openGpu();
 * const shape = [1, 64, 2, 16];
 * const tensor = { dtype: "f32", shape } as const;
 * using plan = await planAttention(gpu, {
 *   query: tensor,
 *   key: tensor,
 *   value: tensor,
 * });
 * const tensors = {
 *   query: gpu.empty("f32", shape),
 *   key: gpu.empty("f32", shape),
 *   value: gpu.empty("f32", shape),
 *   output: gpu.empty("f32", shape),
 * };
 * if (timingUnsupported(gpu) === undefined) {
 *   using timer = new PassTimer(gpu, 4);
 *   gpu.submit("timed", (encoder) => {
 *     plan.encode(encoder, tensors, (label) => timer.pass(label));
 *     timer.resolve(encoder);
 *   });
 *   console.log(await timer.read()); // nanoseconds of each pass
 * }
 * ```
 *
 * @category Device
 */
export class PassTimer implements Disposable {
  #gpu: Gpu;
  #capacity: number;
  #queries: GPUQuerySet;
  #resolved: GpuBuffer;
  #staging: GpuBuffer;
  #count = 0;

  /**
   * Makes the query set and its buffers.
   *
   * @throws {UnsupportedError} Where the device lacks `timestamp-query`.
   */
  constructor(gpu: Gpu, capacity: number) {
    gpu.check();
    checkInteger("capacity", capacity, 1, MAX_PASSES);
    const reason = timingUnsupported(gpu);
    if (reason) throw new UnsupportedError("time passes", reason);
    this.#gpu = gpu;
    this.#capacity = capacity;
    this.#queries = gpu.device.createQuerySet({
      label: "timing",
      type: "timestamp",
      count: 2 * capacity,
    });
    const size = 16 * capacity;
    this.#resolved = gpu.createBuffer({
      label: "timing.resolved",
      size,
      usage: BufferUsage.queryResolve | BufferUsage.copySrc,
    });
    this.#staging = gpu.createBuffer({
      label: "timing.staging",
      size,
      usage: BufferUsage.copyDst | BufferUsage.mapRead,
    });
  }

  /** The descriptor of the next pass to be timed. */
  pass(label: string): GPUComputePassDescriptor {
    checkRange(
      this.#count < this.#capacity,
      "pass",
      `must be one of ${this.#capacity}`,
      this.#count + 1,
    );
    const first = 2 * this.#count++;
    return {
      label,
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: first,
        endOfPassWriteIndex: first + 1,
      },
    };
  }

  /** Records the copy of all times so far; nothing where there are none. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.#count === 0) return;
    const { buffer } = this.#resolved;
    encoder.resolveQuerySet(this.#queries, 0, 2 * this.#count, buffer, 0);
    encoder.copyBufferToBuffer(
      buffer,
      0,
      this.#staging.buffer,
      0,
      16 * this.#count,
    );
  }

  /** Nanoseconds of each pass in order; the timer is then empty again. */
  async read(): Promise<number[]> {
    this.#gpu.check();
    if (this.#count === 0) return [];
    const { buffer } = this.#staging;
    const bytes = 16 * this.#count;
    try {
      await buffer.mapAsync(MAP_READ, 0, bytes);
      await this.#gpu.flushErrors();
    } catch (error) {
      throw await this.#gpu.lossOr(error);
    }
    const times = new BigUint64Array(buffer.getMappedRange(0, bytes).slice(0));
    buffer.unmap();
    this.#count = 0;
    return Array.from(
      { length: times.length / 2 },
      (_, i) => Number(times[2 * i + 1] - times[2 * i]),
    );
  }

  /** Frees the query set and the buffers. */
  destroy(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }

  /** The same as {@linkcode PassTimer.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/**
 * Why passes cannot be timed on `gpu`, or `undefined` where they can.
 *
 * @example Whether passes can be timed
 * ```ts
 * import { openGpu, timingUnsupported } from "@quire/attention/gpu";
 *
 * using gpu = await openGpu();
 * console.log(timingUnsupported(gpu) ?? "passes can be timed");
 * ```
 *
 * @category Device
 */
export function timingUnsupported(gpu: Gpu): string | undefined {
  return gpu.features.has("timestamp-query")
    ? undefined
    : "the device lacks timestamp-query";
}

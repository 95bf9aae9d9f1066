/**
 * The device and everything that is made on it.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import type { ElementType, HostArray } from "../core/dtype.ts";
import { DeviceLostError } from "../core/errors.ts";
import type { KernelSource } from "../core/kernel.ts";
import { type GpuInfo, infoOf, isSoftware } from "./adapter.ts";
import type { BufferOptions, GpuBuffer } from "./buffers/buffer.ts";
import type { DeviceContext } from "./device_context.ts";
import { type BindingResource, bindResources } from "./program/dispatch.ts";
import { labelled, scoped } from "./errors.ts";
import { type GpuStats, LiveBuffers } from "./buffers/live_buffers.ts";
import {
  type CompiledKernel,
  PipelineCache,
} from "./program/pipeline_cache.ts";
import { BufferPool } from "./buffers/pool.ts";
import { type ReadOptions, StagingRing } from "./buffers/readback.ts";
import { submitRecording } from "./program/recordings.ts";
import {
  emptyTensor,
  type GpuTensor,
  uploadTensor,
  wrapBuffer,
} from "./tensor.ts";

/**
 * A device, and what has been made on it: buffers, tensors, pipelines.
 *
 * Every method throws (or rejects with) a {@linkcode DeviceLostError} once the
 * device is lost or the `Gpu` destroyed.
 *
 * @example A tensor, there and back
 * ```ts
 * import { openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * using tensor = gpu.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
 * console.log(await gpu.readOne(tensor)); // 1 2 3 4
 * ```
 *
 * @category Device
 */
export class Gpu implements DeviceContext, Disposable {
  /** The WebGPU device. */
  readonly device: GPUDevice;
  /** Who made it, as far as WebGPU says. */
  readonly info: GpuInfo;
  /** The names of the features that it has. */
  readonly features: ReadonlySet<string>;
  /** Scratch buffers, used again. */
  readonly scratch: BufferPool;
  #owned: boolean;
  #loss: DeviceLostError | undefined;
  #errors: Error[] = [];
  #live = new LiveBuffers();
  #staging: StagingRing;
  #pipelines: PipelineCache;
  #onError = (event: Event) => this.#remember(event as GPUUncapturedErrorEvent);

  /**
   * Takes a device; `openGpu()` is the usual way.
   *
   * @param options `owned`: whether `destroy()` also destroys the device.
   */
  constructor(
    device: GPUDevice,
    options: { owned?: boolean; info?: GpuInfo } = {},
  ) {
    checkType(
      typeof device?.createBuffer === "function",
      "device",
      "must be a GPUDevice",
      device,
    );
    this.device = device;
    this.#owned = options.owned ?? false;
    this.info = options.info ?? infoOf(device.adapterInfo);
    this.features = new Set<string>(device.features);
    this.scratch = new BufferPool(this);
    this.#staging = new StagingRing(this);
    this.#pipelines = new PipelineCache(this);
    device.addEventListener("uncapturederror", this.#onError);
    device.lost.then(({ reason, message }) => {
      this.#loss ??= new DeviceLostError(reason, message);
    });
  }

  /** The device's queue. */
  get queue(): GPUQueue {
    return this.device.queue;
  }

  /** The device's limits. */
  get limits(): GPUSupportedLimits {
    return this.device.limits;
  }

  /** Whether the adapter computes on the CPU, by its own description. */
  get software(): boolean {
    return isSoftware(this.info);
  }

  /**
   * Iterations that all loops of one invocation may take together. Mesa 22.3's
   * llvmpipe silently ends every loop after 65,535 (probe `long_loops`); 26.1's
   * does not, but says nothing by which to tell the two apart.
   */
  get maxLoopIterations(): number {
    return this.software ? 65535 : Infinity;
  }

  /** Whether the device is lost, or this object destroyed. */
  get lost(): boolean {
    return this.#loss !== undefined;
  }

  /** What is alive now. */
  get stats(): GpuStats {
    const { buffers, bytes, peakBytes } = this.#live;
    return { buffers, bytes, peakBytes, pipelines: this.#pipelines.size };
  }

  /** Throws a {@linkcode DeviceLostError} where the device is lost. */
  check(): void {
    if (this.#loss) throw this.#loss;
  }

  /** A counted buffer. Fresh ones are all zeros. */
  createBuffer(options: BufferOptions): GpuBuffer {
    this.check();
    return this.#live.create(this.device, options);
  }

  /**
   * Uploads a host array.
   *
   * @throws {TypeError} Where the shape's product is not the array's length.
   */
  tensor(
    array: HostArray,
    shape: readonly number[],
    label = "tensor",
  ): GpuTensor {
    this.check();
    return uploadTensor(this, array, shape, label);
  }

  /** A tensor of zeros. */
  empty(
    dtype: ElementType,
    shape: readonly number[],
    label = "tensor",
  ): GpuTensor {
    this.check();
    return emptyTensor(this, dtype, shape, label);
  }

  /**
   * A caller's buffer as a tensor. It stays the caller's: it is neither
   * counted nor destroyed.
   *
   * @param offset First byte, a multiple of the device's
   * `minStorageBufferOffsetAlignment`.
   * @throws {TypeError} Where it is of another device or not for storage.
   * @throws {RangeError} Where it is too small.
   */
  wrap(
    buffer: GPUBuffer,
    dtype: ElementType,
    shape: readonly number[],
    offset = 0,
  ): GpuTensor {
    this.check();
    return wrapBuffer(this, buffer, dtype, shape, offset);
  }

  /** Reads tensors back: one submit and one map, however many they are. */
  read(
    tensors: readonly GpuTensor[],
    options: ReadOptions = {},
  ): Promise<HostArray[]> {
    return this.#staging.read(tensors, options);
  }

  /** Reads one tensor back. */
  async readOne(
    tensor: GpuTensor,
    options: ReadOptions = {},
  ): Promise<HostArray> {
    return (await this.read([tensor], options))[0];
  }

  /**
   * The compiled form of a kernel; compiled once for each source text.
   *
   * @throws {UnsupportedError} Where the device lacks a feature or a limit
   * that the kernel needs.
   * @throws {Error} Where it does not compile: label, place and source lines.
   */
  async pipeline(kernel: KernelSource): Promise<CompiledKernel> {
    this.check();
    return await this.#pipelines.get(kernel);
  }

  /** The compiled form of a kernel, or `undefined` where it is not ready. */
  compiled(kernel: KernelSource): CompiledKernel | undefined {
    return this.#pipelines.compiled(kernel);
  }

  /**
   * Group 0 of a kernel, each binding by its name.
   *
   * @throws {TypeError} Where one is missing, unknown, destroyed, of another
   * device or made for another usage, or where what one of them writes is bound
   * twice.
   * @throws {RangeError} Where a part is unaligned, too large or outside.
   */
  bind(
    kernel: CompiledKernel,
    resources: Readonly<Record<string, BindingResource>>,
  ): GPUBindGroup {
    this.check();
    return bindResources(this, kernel, resources);
  }

  /** Records commands and submits them. */
  submit(label: string, record: (encoder: GPUCommandEncoder) => void): void;
  /**
   * Finishes and submits an encoder of the caller's own. What was recorded into
   * it of a program can then be used again; where the caller submits it in
   * another way, the next update of the program makes it anew.
   */
  submit(encoder: GPUCommandEncoder): void;
  submit(
    first: string | GPUCommandEncoder,
    record?: (encoder: GPUCommandEncoder) => void,
  ): void {
    this.check();
    submitRecording(this.device, first, record);
  }

  /**
   * Runs `run` within a validation and an out-of-memory scope, which cover
   * its synchronous part, and rejects with an error that names `label` where
   * the device reports one.
   */
  async scoped<T>(label: string, run: () => T | Promise<T>): Promise<T> {
    this.check();
    return await scoped(this, label, run);
  }

  /**
   * Throws the first error that the device reported outside all scopes since
   * the last call. Every method that awaits the device does the same.
   */
  async flushErrors(): Promise<void> {
    // One turn, so that events which are already on their way come first.
    await Promise.resolve();
    this.check();
    const [error] = this.#errors.splice(0);
    if (error) throw error;
  }

  /** The loss of the device where that is behind `error`, else `error`. */
  async lossOr(error: unknown): Promise<unknown> {
    // A lost device often shows first as another error; its own promise
    // follows a little later.
    await new Promise((resolve) => setTimeout(resolve, 0));
    return this.#loss ?? error;
  }

  /** Frees idle scratch and staging buffers. */
  trim(): void {
    this.scratch.clear();
    this.#staging.clear();
  }

  /**
   * Frees all buffers that were made here, and the device where it was opened
   * here. Further calls do nothing.
   */
  destroy(): void {
    this.#loss ??= new DeviceLostError("destroyed", "destroy() was called");
    this.trim();
    this.#live.destroy();
    this.device.removeEventListener("uncapturederror", this.#onError);
    if (this.#owned) this.device.destroy();
  }

  /** The same as {@linkcode Gpu.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #remember(event: GPUUncapturedErrorEvent): void {
    this.#errors.push(labelled("run commands", event.error));
    if (this.#owned) event.preventDefault();
  }
}

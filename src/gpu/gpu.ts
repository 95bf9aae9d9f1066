/**
 * The device and everything that is made on it.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import type { ElementType, HostArray } from "../core/dtype.ts";
import { DeviceLostError, UnsupportedError } from "../core/errors.ts";
import type { KernelSource } from "../core/kernel.ts";
import {
  deviceDescriptor,
  type GpuInfo,
  infoOf,
  isSoftware,
  refuseOpenGl,
  requestAdapter,
} from "./adapter.ts";
import { type BufferOptions, createRawBuffer, GpuBuffer } from "./buffer.ts";
import { type BindingResource, bindResources } from "./dispatch.ts";
import { labelled, scoped } from "./errors.ts";
import { type CompiledKernel, PipelineCache } from "./pipeline_cache.ts";
import { BufferPool } from "./pool.ts";
import { type ReadOptions, StagingRing } from "./readback.ts";
import {
  emptyTensor,
  type GpuTensor,
  uploadTensor,
  wrapBuffer,
} from "./tensor.ts";

/** What {@linkcode openGpu} opens. */
export interface OpenGpuOptions {
  /** A device of the caller's own, which is used as it is, never destroyed. */
  readonly device?: GPUDevice;
  /** An adapter to request the device of. */
  readonly adapter?: GPUAdapter;
  /** Where to ask for an adapter. Defaults to `navigator.gpu`. */
  readonly gpu?: GPU;
  /** Which adapter to prefer. Defaults to `"high-performance"`. */
  readonly powerPreference?: GPUPowerPreference;
  /** Whether an adapter that computes on the CPU will do. Defaults to true. */
  readonly allowSoftware?: boolean;
  /** The device's label. Defaults to `"quire"`. */
  readonly label?: string;
}

/** What is alive on a {@linkcode Gpu}, pooled and staging buffers included. */
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

/**
 * Opens a device with the limits and features that its adapter offers, or
 * takes the caller's.
 *
 * @example Sum nothing, but on a device
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 *
 * const gpu = await openGpu();
 * const tensor = gpu.tensor(new Float32Array([1, 2, 3]), [3]);
 * const [array] = await gpu.read([tensor]);
 * console.log(array); // Float32Array [ 1, 2, 3 ]
 * gpu.destroy();
 * ```
 *
 * @throws {UnsupportedError} Where there is no adapter, only an OpenGL one, or
 * only a software one and `allowSoftware` is false.
 */
export async function openGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  const { device, label = "quire" } = options;
  if (device !== undefined) return new Gpu(device);
  const adapter = options.adapter ?? await requestAdapter(options);
  refuseOpenGl(adapter);
  const info = infoOf(adapter.info);
  if (options.allowSoftware === false && isSoftware(info)) {
    throw new UnsupportedError(
      "open a GPU",
      `the only adapter is ${info.description}, which computes on the CPU, and allowSoftware is false`,
    );
  }
  const made = await adapter.requestDevice(deviceDescriptor(adapter, label));
  return new Gpu(made, { owned: true, info });
}

/**
 * A device, and what has been made on it: buffers, tensors, pipelines.
 *
 * Every method throws (or rejects with) a {@linkcode DeviceLostError} once the
 * device is lost or the `Gpu` destroyed.
 */
export class Gpu implements Disposable {
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
  #live = new Set<GpuBuffer>();
  #bytes = 0;
  #peakBytes = 0;
  #staging: StagingRing;
  #pipelines: PipelineCache;
  #onError = (event: Event) => this.#remember(event as GPUUncapturedErrorEvent);

  /**
   * Takes a device; {@linkcode openGpu} is the usual way.
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

  /** Whether the device is lost, or this object destroyed. */
  get lost(): boolean {
    return this.#loss !== undefined;
  }

  /** What is alive now. */
  get stats(): GpuStats {
    return {
      buffers: this.#live.size,
      bytes: this.#bytes,
      peakBytes: this.#peakBytes,
      pipelines: this.#pipelines.size,
    };
  }

  /** Throws a {@linkcode DeviceLostError} where the device is lost. */
  check(): void {
    if (this.#loss) throw this.#loss;
  }

  /** A counted buffer. Fresh ones are all zeros. */
  createBuffer(options: BufferOptions): GpuBuffer {
    this.check();
    const raw = createRawBuffer(this, options);
    const buffer = new GpuBuffer(raw, (self) => {
      this.#live.delete(self);
      this.#bytes -= self.size;
    });
    this.#live.add(buffer);
    this.#bytes += buffer.size;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
    return buffer;
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

  /**
   * Group 0 of a kernel, each binding by its name.
   *
   * @throws {TypeError} Where one is missing, unknown, destroyed, of another
   * device or made for another usage.
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
  submit(label: string, record: (encoder: GPUCommandEncoder) => void): void {
    this.check();
    const encoder = this.device.createCommandEncoder({ label });
    record(encoder);
    this.queue.submit([encoder.finish({ label })]);
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
    for (const buffer of [...this.#live]) buffer.destroy();
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

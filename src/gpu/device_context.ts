/**
 * What the parts of a `Gpu` need of it. They know this interface and not the
 * class, which knows them.
 *
 * @module
 */

import type { BufferOptions, GpuBuffer } from "./buffers/buffer.ts";

/**
 * A device, how buffers are made on it, and what became of it.
 *
 * @category Device
 */
export interface DeviceContext {
  /** The WebGPU device. */
  readonly device: GPUDevice;
  /** The device's queue. */
  readonly queue: GPUQueue;
  /** The device's limits. */
  readonly limits: GPUSupportedLimits;
  /** The names of the features that it has. */
  readonly features: ReadonlySet<string>;
  /** Whether the device is lost, or the `Gpu` destroyed. */
  readonly lost: boolean;
  /** Throws a `DeviceLostError` where the device is lost. */
  check(): void;
  /** A counted buffer. Fresh ones are all zeros. */
  createBuffer(options: BufferOptions): GpuBuffer;
  /** Throws the first error that the device reported outside all scopes. */
  flushErrors(): Promise<void>;
  /** The loss of the device where that is behind `error`, else `error`. */
  lossOr(error: unknown): Promise<unknown>;
}

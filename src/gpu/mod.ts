/**
 * The device layer: opening a device, buffers, tensors, readback, pipelines.
 *
 * @module
 */

export { DeviceLostError, UnsupportedError } from "../core/errors.ts";
export type { Binding, KernelSource } from "../core/kernel.ts";
export type { UniformFields } from "../core/uniforms.ts";
export type { DType, ElementType, HostArray } from "../core/dtype.ts";
export type { GpuInfo } from "./adapter.ts";
export { type BufferOptions, GpuBuffer } from "./buffers/buffer.ts";
export type { BindingResource, BufferRange, Grid } from "./program/dispatch.ts";
export type { DeviceContext } from "./device_context.ts";
export { Gpu } from "./gpu.ts";
export type { HostBits, HostTensor, TensorShape } from "./host_tensor.ts";
export type { GpuStats } from "./buffers/live_buffers.ts";
export { openGpu, type OpenGpuOptions } from "./open.ts";
export type { CompiledKernel } from "./program/pipeline_cache.ts";
export type { BufferPool } from "./buffers/pool.ts";
export {
  type EncodeOptions,
  Program,
  type ProgramExplanation,
} from "./program/program.ts";
export type {
  Dispatch,
  ProgramCopy,
  ProgramParts,
} from "./program/program_parts.ts";
export type { ReadOptions } from "./buffers/readback.ts";
export { GpuTensor } from "./tensor.ts";
export { PassTimer, timingUnsupported } from "./timing.ts";
export { BufferUsage } from "./buffers/usage.ts";

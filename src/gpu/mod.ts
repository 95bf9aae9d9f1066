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
export { type BufferOptions, GpuBuffer } from "./buffer.ts";
export type { BindingResource, BufferRange, Grid } from "./dispatch.ts";
export type { DeviceContext } from "./device_context.ts";
export { Gpu } from "./gpu.ts";
export type { HostBits, HostTensor, TensorShape } from "./host_tensor.ts";
export type { GpuStats } from "./live_buffers.ts";
export { openGpu, type OpenGpuOptions } from "./open.ts";
export type { CompiledKernel } from "./pipeline_cache.ts";
export type { BufferPool } from "./pool.ts";
export {
  type EncodeOptions,
  Program,
  type ProgramExplanation,
} from "./program.ts";
export type { Dispatch, ProgramCopy, ProgramParts } from "./program_parts.ts";
export type { ReadOptions } from "./readback.ts";
export { GpuTensor } from "./tensor.ts";
export { PassTimer, timingUnsupported } from "./timing.ts";
export { BufferUsage } from "./usage.ts";

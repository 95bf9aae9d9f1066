/**
 * What recording a cache's kernels takes: uniforms, short-lived lists, a
 * dispatch.
 *
 * @module
 */

import { packUniforms, type UniformFields } from "../core/uniforms.ts";
import {
  type BindingResource,
  BufferUsage,
  type CompiledKernel,
  type Gpu,
  type GpuBuffer,
  type Grid,
} from "../gpu/mod.ts";

/** A buffer with the values of a kernel's uniforms. */
export function uniformBuffer<F extends UniformFields>(
  gpu: Gpu,
  fields: F,
  values: { readonly [K in keyof F]: number },
): GpuBuffer {
  const bytes = packUniforms(fields, values);
  const buffer = gpu.createBuffer({
    label: "kv.params",
    size: bytes.byteLength,
    usage: BufferUsage.uniform | BufferUsage.copyDst,
  });
  gpu.queue.writeBuffer(buffer.buffer, 0, bytes);
  return buffer;
}

/**
 * A buffer for one recording, which the garbage collector frees with it: the
 * encoder may be submitted at any later time.
 */
export function transientBuffer(
  gpu: Gpu,
  label: string,
  words: Uint32Array,
): GPUBuffer {
  const buffer = gpu.device.createBuffer({
    label,
    size: Math.max(16, words.byteLength),
    usage: BufferUsage.storage,
    mappedAtCreation: true,
  });
  new Uint32Array(buffer.getMappedRange()).set(words);
  buffer.unmap();
  return buffer;
}

/** One dispatch, and where it is recorded. */
export interface KernelDispatch {
  /** The kernel. */
  readonly kernel: CompiledKernel;
  /** What is bound, by name. */
  readonly resources: Readonly<Record<string, BindingResource>>;
  /** Workgroups. */
  readonly grid: Grid;
}

/** Records a dispatch in a pass of its own. */
export function encodeKernel(
  gpu: Gpu,
  encoder: GPUCommandEncoder,
  { kernel, resources, grid }: KernelDispatch,
): void {
  const group = gpu.bind(kernel, resources);
  const pass = encoder.beginComputePass({ label: kernel.label });
  pass.setPipeline(kernel.pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...grid);
  pass.end();
}

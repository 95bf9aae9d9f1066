/**
 * Bind groups by name, and grids that fit the device.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import type { Binding } from "../../core/kernel.ts";
import { checkAliasing } from "./aliasing.ts";
import { checkOwner, GpuBuffer } from "../buffers/buffer.ts";
import type { DeviceContext } from "../device_context.ts";
import type { CompiledKernel } from "./pipeline_cache.ts";
import { GpuTensor } from "../tensor.ts";
import { BufferUsage, roundUp } from "../buffers/usage.ts";

/**
 * A part of a buffer.
 *
 * @category Programs
 */
export interface BufferRange {
  /** The buffer. */
  readonly buffer: GPUBuffer;
  /** First byte. Defaults to 0. */
  readonly offset?: number;
  /** Bytes. Defaults to all that follow `offset`. */
  readonly size?: number;
}

/**
 * What can be bound: a tensor, a buffer, or a part of one.
 *
 * @category Programs
 */
export type BindingResource = GpuTensor | GpuBuffer | GPUBuffer | BufferRange;

/**
 * A grid of workgroups.
 *
 * @category Programs
 */
export type Grid = readonly [x: number, y: number, z: number];

/** The bytes that a binding gets. */
export type BoundRange = Required<BufferRange>;

/** See `Gpu.bind()`. */
export function bindResources(
  gpu: DeviceContext,
  kernel: CompiledKernel,
  resources: Readonly<Record<string, BindingResource>>,
): GPUBindGroup {
  const names = new Set(kernel.bindings.map((binding) => binding.name));
  for (const name of Object.keys(resources)) {
    checkType(
      names.has(name),
      "resources",
      `must only name bindings of ${kernel.label} (${[...names].join(", ")})`,
      name,
    );
  }
  const nameOf = ({ name }: Binding) => `resources.${name}`;
  const ranges = kernel.bindings.map((binding) =>
    rangeOf(gpu, nameOf(binding), resources[binding.name])
  );
  return createBindGroup(gpu, kernel, ranges, nameOf);
}

/**
 * Group 0 of a kernel from a range for each binding, in their order.
 *
 * @param nameOf What errors call a binding's resource.
 * @throws {TypeError} Where one is of another device, made for another usage,
 * or shares with another one what is written.
 * @throws {RangeError} Where a part is unaligned, too large or outside.
 */
export function createBindGroup(
  gpu: DeviceContext,
  kernel: CompiledKernel,
  ranges: readonly BoundRange[],
  nameOf: (binding: Binding) => string,
): GPUBindGroup {
  const { label, layout, bindings } = kernel;
  bindings.forEach((binding, i) =>
    checkRangeOf(gpu, nameOf(binding), binding, ranges[i])
  );
  checkAliasing(bindings, ranges, nameOf);
  return gpu.device.createBindGroup({
    label,
    layout,
    entries: ranges.map((resource, binding) => ({ binding, resource })),
  });
}

/**
 * The bytes of a resource.
 *
 * @throws {TypeError} Where it is none, destroyed, or a tensor of another `Gpu`.
 */
export function rangeOf(
  gpu: DeviceContext,
  name: string,
  resource: BindingResource | undefined,
): BoundRange {
  checkType(
    typeof resource === "object" && resource !== null,
    name,
    "must be a buffer or a tensor",
    resource,
  );
  if (resource instanceof GpuTensor) {
    checkType(resource.gpu === gpu, name, "must be of this Gpu", resource);
    const { buffer, offset, byteLength } = resource;
    // A shader may read the tensor as vec4f, so the last one is bound whole
    // where the buffer has room for it.
    const size = Math.max(16, roundUp(byteLength, 16));
    return { buffer, offset, size: Math.min(size, buffer.size - offset) };
  }
  if (resource instanceof GpuBuffer) {
    checkType(
      !resource.destroyed,
      name,
      "must not be destroyed",
      resource.buffer.label,
    );
    return { buffer: resource.buffer, offset: 0, size: resource.size };
  }
  if ("buffer" in resource) {
    const { buffer, offset = 0 } = resource;
    return { buffer, offset, size: resource.size ?? buffer.size - offset };
  }
  return { buffer: resource, offset: 0, size: resource.size };
}

function checkRangeOf(
  gpu: DeviceContext,
  name: string,
  { access }: Binding,
  range: BoundRange,
): void {
  checkOwner(name, range.buffer, gpu.device);
  const uniform = access === "uniform";
  checkType(
    range.buffer.usage & (uniform ? BufferUsage.uniform : BufferUsage.storage),
    `${name}.usage`,
    `must include ${uniform ? "UNIFORM" : "STORAGE"}`,
    range.buffer.usage,
  );
  checkSpan(gpu, name, uniform, range);
}

function checkSpan(
  gpu: DeviceContext,
  name: string,
  uniform: boolean,
  { buffer, offset, size }: BoundRange,
): void {
  const { limits } = gpu;
  const kind = uniform ? "Uniform" : "Storage";
  const alignment = limits[`min${kind}BufferOffsetAlignment`];
  const limit = limits[`max${kind}BufferBindingSize`];
  checkInteger(`${name}.offset`, offset, 0);
  checkRange(
    offset % alignment === 0,
    `${name}.offset`,
    `must be a multiple of min${kind}BufferOffsetAlignment (${alignment})`,
    offset,
  );
  checkRange(
    size > 0 && size % 4 === 0 && offset + size <= buffer.size,
    `${name}.size`,
    `must be a positive multiple of 4 within the buffer's ${buffer.size} bytes from ${offset}`,
    size,
  );
  checkRange(
    size <= limit,
    `${name}.size`,
    `must be <= max${kind}BufferBindingSize (${limit})`,
    size,
  );
}

/**
 * A grid of at least `count` workgroups that fits the device's limit for each
 * dimension. In the shader the running number of a workgroup `w` in a grid `n`
 * is `w.x + n.x * (w.y + n.y * w.z)`; those from `count` on have to return.
 * Fewer than one per row and layer of the grid are in excess.
 *
 * @throws {RangeError} Where no grid is large enough.
 */
export function foldGrid(
  count: number,
  limits: { readonly maxComputeWorkgroupsPerDimension: number },
): Grid {
  const max = limits.maxComputeWorkgroupsPerDimension;
  checkInteger("count", count, 0, max ** 3);
  if (count <= max) return [count, 1, 1];
  const rows = Math.ceil(count / max);
  if (rows <= max) return [Math.ceil(count / rows), rows, 1];
  const layers = Math.ceil(rows / max);
  const perLayer = Math.ceil(rows / layers);
  return [Math.ceil(count / (perLayer * layers)), perLayer, layers];
}

/**
 * {@linkcode foldGrid} of as many workgroups of `lanes` invocations as `count`
 * invocations take, in two dimensions: the running number of a workgroup `w` in
 * a grid `n` is `w.y * n.x + w.x`.
 *
 * @throws {RangeError} Where no grid is large enough.
 */
export function flatGrid(
  count: number,
  lanes: number,
  limits: { readonly maxComputeWorkgroupsPerDimension: number },
): Grid {
  const [x, y, z] = foldGrid(Math.ceil(count / lanes), limits);
  return [x, y * z, 1];
}

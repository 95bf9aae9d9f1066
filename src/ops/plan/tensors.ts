/**
 * What the `encode` of a plan is given: tensors as it wants them, in buffers of
 * their own where they are written.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";

/** What a plan wants of a tensor. */
export interface WantedTensor {
  /** Its dtype. */
  readonly type: string;
  /** How many elements it has; any number where shapes are checked apart. */
  readonly size?: number;
  /** Whether it may have more. */
  readonly least?: boolean;
}

/**
 * Throws unless a tensor is there, alive, and as a plan wants it.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkTensor(
  gpu: Gpu,
  name: string,
  tensor: GpuTensor | undefined,
  { type, size, least = false }: WantedTensor,
): asserts tensor is GpuTensor {
  checkType(tensor !== undefined, name, "must be given", tensor);
  checkType(tensor instanceof GpuTensor, name, "must be a GpuTensor", tensor);
  checkType(tensor.gpu === gpu, name, "must be of the plan's Gpu", tensor);
  checkType(tensor.dtype === type, name, `must be ${type}`, tensor.dtype);
  checkType(
    size === undefined || tensor.size === size || least && tensor.size > size,
    name,
    least
      ? `must have >= ${size} elements, which its strides reach`
      : `must have ${size} elements`,
    tensor.size,
  );
  void tensor.buffer;
}

/** Buffers, and what errors call them. */
export type NamedBuffers = readonly (readonly [
  name: string,
  buffer: GPUBuffer | undefined,
])[];

/**
 * WebGPU refuses a buffer that one dispatch both reads and writes, and takes one
 * that it writes twice, whose second result then is the only one. Checked for
 * all dispatches together, so that it does not depend on which kernels run.
 *
 * @throws {TypeError} naming both
 */
export function checkWritten(read: NamedBuffers, written: NamedBuffers): void {
  const bound = new Map<GPUBuffer | undefined, string>();
  for (const [name, buffer] of read) {
    if (buffer && !bound.has(buffer)) bound.set(buffer, name);
  }
  for (const [name, buffer] of written) {
    if (!buffer) continue;
    const shared = bound.get(buffer);
    checkType(
      shared === undefined,
      name,
      `must not share a buffer with ${shared}`,
      buffer.label,
    );
    bound.set(buffer, name);
  }
}

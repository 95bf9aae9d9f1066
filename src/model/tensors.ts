/**
 * What plans of a model's parts are given, held against their problem.
 *
 * @module
 */

import { checkOptions } from "../core/options.ts";
import type { Gpu, GpuTensor } from "../gpu/mod.ts";
import type { TensorShape } from "../ops/mod.ts";
import { checkTensor } from "../ops/plan/tensors.ts";

/** A name among others, or within what holds it. */
function named(of: string | undefined, name: string): string {
  return of === undefined ? name : `${of}.${name}`;
}

/**
 * Throws unless tensors are there, of a plan's device, dtypes and sizes.
 *
 * @throws {TypeError} naming the tensor, and what it is `of`
 */
export function checkModelTensors(
  gpu: Gpu,
  tensors: object,
  { wanted, of }: { readonly wanted: object; readonly of?: string },
): void {
  checkOptions(of ?? "encode()", tensors, { known: Object.keys(wanted) });
  const given = tensors as Record<string, GpuTensor | undefined>;
  for (const [name, own] of Object.entries<TensorShape>({ ...wanted })) {
    const size = own.shape.reduce((product, length) => product * length, 1);
    const type = own.dtype;
    checkTensor(gpu, named(of, name), given[name], { type, size });
  }
}

/** The buffers of tensors, and what errors call them. */
export function buffersOf(
  of: string | undefined,
  tensors: object,
): (readonly [name: string, buffer: GPUBuffer])[] {
  return Object.entries(tensors as Record<string, GpuTensor>).map((
    [name, { buffer }],
  ) => [named(of, name), buffer] as const);
}

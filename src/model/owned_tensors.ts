/**
 * Tensors that a plan of a model's part owns.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../gpu/mod.ts";
import type { TensorShape } from "../ops/mod.ts";

/** Tensors by name, made together and freed together. */
export class OwnedTensors<Name extends string> implements Disposable {
  /** The tensors. */
  readonly tensors: Readonly<Record<Name, GpuTensor>>;

  /** Makes them, or none. */
  constructor(
    gpu: Gpu,
    shapes: Readonly<Record<Name, TensorShape>>,
    label: string,
  ) {
    const made: [string, GpuTensor][] = [];
    try {
      for (const [name, own] of Object.entries<TensorShape>(shapes)) {
        made.push([name, gpu.empty(own.dtype, own.shape, `${label}.${name}`)]);
      }
    } catch (error) {
      for (const [, tensor] of made) tensor.destroy();
      throw error;
    }
    this.tensors = Object.fromEntries(made) as Record<Name, GpuTensor>;
  }

  /** Frees them; further calls do nothing. */
  destroy(): void {
    for (const tensor of Object.values<GpuTensor>(this.tensors)) {
      tensor.destroy();
    }
  }

  /** The same, for `using`. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/**
 * Bind groups that are made once for the same buffers.
 *
 * @module
 */

import type { Binding } from "../../core/kernel.ts";
import type { DeviceContext } from "../device_context.ts";
import { type BoundRange, createBindGroup } from "./dispatch.ts";
import type { CompiledKernel } from "./pipeline_cache.ts";

/** Numbers by which objects are told apart in a key. */
const ids = new WeakMap<object, number>();
let lastId = 0;

function idOf(object: object): number {
  let id = ids.get(object);
  if (id === undefined) ids.set(object, id = ++lastId);
  return id;
}

/** Bind groups by layout and by what they bind. */
export class BindGroups {
  #gpu: DeviceContext;
  #most: number;
  #groups = new Map<string, GPUBindGroup>();

  /** None yet; at most `most` are kept, and the oldest go first. */
  constructor(gpu: DeviceContext, most = 1024) {
    this.#gpu = gpu;
    this.#most = most;
  }

  /** The group of these ranges; see {@linkcode createBindGroup}. */
  get(
    kernel: CompiledKernel,
    ranges: readonly BoundRange[],
    nameOf: (binding: Binding) => string,
  ): GPUBindGroup {
    const key = ranges.reduce(
      (text, { buffer, offset, size }) =>
        `${text},${idOf(buffer)}:${offset}:${size}`,
      `${idOf(kernel.layout)}`,
    );
    const known = this.#groups.get(key);
    if (known) return known;
    const group = createBindGroup(this.#gpu, kernel, ranges, nameOf);
    if (this.#groups.size >= this.#most) {
      const [oldest] = this.#groups.keys();
      this.#groups.delete(oldest);
    }
    this.#groups.set(key, group);
    return group;
  }

  /** Forgets all. */
  clear(): void {
    this.#groups.clear();
  }
}

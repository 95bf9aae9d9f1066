/**
 * A device that is limits and a count of buffers, for caches of any size.
 *
 * @module
 */

import type { Gpu } from "../../mod.ts";

/** How much a device on paper has. */
export interface PaperOptions {
  /** Buffers at most; any number by default. */
  readonly most?: number;
  /** Bytes of a buffer, and of a binding; just below 4 GiB by default. */
  readonly limit?: number;
}

/** A device that makes buffers of no memory, and the count of live ones. */
export function paperGpu(
  { most = Infinity, limit = 4 * 2 ** 30 - 4 }: PaperOptions = {},
): { gpu: Gpu; made: () => number } {
  let live = 0;
  const gpu = {
    limits: {
      maxBufferSize: limit,
      maxStorageBufferBindingSize: limit,
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 16,
    },
    check() {},
    queue: { writeBuffer() {} },
    pipeline: () => Promise.resolve({}),
    scoped: (_: string, run: () => void) => Promise.resolve().then(run),
    createBuffer({ size }: { size: number }) {
      if (live === most) throw new RangeError("out of paper");
      live++;
      return { size, destroy: () => live-- };
    },
  };
  return { gpu: gpu as unknown as Gpu, made: () => live };
}

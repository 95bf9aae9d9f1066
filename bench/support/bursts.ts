// deno-lint-ignore-file no-console -- `deno bench` does not list ignored benches
/**
 * `Deno.bench` for work on the device.
 *
 * @module
 */

import type { Gpu } from "../../src/gpu/mod.ts";
import { DEVICE } from "./device.ts";

/** What {@linkcode gpuBench} registers. */
export interface GpuBenchOptions {
  /** The name; the number of calls is added to it. */
  readonly name: string;
  /** Benches to be compared with one another. */
  readonly group: string;
  /** Whether it is the one that the others of the group are compared with. */
  readonly baseline?: boolean;
  /** Calls of one burst. */
  readonly calls: number;
  /** Features without which it is skipped. */
  readonly features?: readonly string[];
  /** Makes what is recorded; not a part of the time. */
  readonly setup: (
    gpu: Gpu,
  ) => Promise<(encoder: GPUCommandEncoder) => void>;
}

/**
 * Times bursts: many calls recorded, submitted once, waited for once. A wait
 * costs a fixed time (10 ms in Deno), which one call would drown in.
 *
 * Without a device, or a feature, nothing is registered; why is printed.
 */
export function gpuBench(options: GpuBenchOptions): void {
  const { name, group, baseline = false, calls, features = [] } = options;
  if (typeof DEVICE === "string") return;
  const gpu = DEVICE;
  const lacking = features.filter((feature) => !gpu.features.has(feature));
  if (lacking.length > 0) {
    console.error(`${name} is skipped: the device lacks ${lacking}`);
    return;
  }
  let record: Promise<(encoder: GPUCommandEncoder) => void> | undefined;
  Deno.bench({
    name: `${name} x${calls}`,
    group,
    baseline,
    n: 5,
    warmup: 1,
    fn: async (b) => {
      const encode = await (record ??= options.setup(gpu));
      await gpu.queue.onSubmittedWorkDone();
      b.start();
      gpu.submit("bench", (encoder) => {
        for (let i = 0; i < calls; i++) encode(encoder);
      });
      await gpu.queue.onSubmittedWorkDone();
      b.end();
    },
  });
}

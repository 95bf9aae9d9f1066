/**
 * What all dispatches of a problem of linear attention have in common.
 *
 * @module
 */

import type { LinearSpec } from "../../../kernels/linear/spec.ts";
import type { ChunkSchedule } from "./chunks.ts";
import type { LinearProblem } from "./problem.ts";

/** What planning needs to know of a device; a `Gpu` is one. */
export interface LinearDevice {
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupsPerDimension: number;
    readonly maxStorageBufferBindingSize: number;
  };
}

/** What all dispatches of a problem have in common. */
export interface LinearContext {
  /** The problem. */
  readonly problem: LinearProblem;
  /** Its chunks. */
  readonly schedule: ChunkSchedule;
  /** What kernels' sources depend on. */
  readonly spec: LinearSpec;
  /** Values of the uniforms that are the same for all dispatches. */
  readonly values: Readonly<Record<string, number>>;
  /** What they run on. */
  readonly device: LinearDevice;
}

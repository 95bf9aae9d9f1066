/**
 * A build: an algorithm's answer for a problem, before its schedule is written.
 *
 * @module
 */

import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import type { Schedule, Share } from "../work/schedule.ts";
import type { Units } from "../work/units.ts";

/** What a launch needs to know of a device; a `Gpu` is one. */
export interface LaunchDevice {
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupStorageSize: number;
    readonly maxComputeWorkgroupsPerDimension: number;
  };
}

/** A dispatch before its schedule is there. */
export interface Pass {
  /** The kernel. */
  readonly source: KernelSource;
  /** First word of its items. */
  readonly itemsAt: number;
  /** Workgroups along x and z. */
  readonly groups: number;
  /** Workgroups along y. */
  readonly heads: number;
  /** First word of the stretches, where workgroups do those. */
  readonly workersAt: number;
  /** Whether an item's runs differ by kv head. */
  readonly runsPerHead: boolean;
  /** Where softmax statistics begin, in vec4s of the states. */
  readonly statsAt: number;
  /** Keys of a row of the standard baseline's scratch. */
  readonly scratchKeys: number;
}

/** A share and what runs it. */
export interface NamedShare extends Share {
  /** For people. */
  readonly name: string;
  /** Its kernel, by how the work was dealt. */
  readonly kernel: (choice: Partial<AttentionSpec>) => KernelSource;
}

/** An algorithm's answer for a problem. */
export interface Build {
  /** Who attends to which keys. */
  readonly units: Units;
  /** What takes them. */
  readonly shares: readonly NamedShare[];
  /** The dispatches, in order. */
  readonly passes: (schedule: Schedule) => readonly Pass[];
  /** Bytes of scratch. */
  readonly scratchBytes: (schedule: Schedule) => number;
  /** Query rows x keys of the tiles of each kernel. */
  readonly tiles: Readonly<Record<string, string>>;
}

/** The largest of possibly very many numbers, at least 1. */
export function largest(numbers: readonly number[]): number {
  return numbers.reduce((most, number) => Math.max(most, number), 1);
}

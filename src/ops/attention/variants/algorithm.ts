/**
 * An algorithm's answer for a problem, before its schedule is written.
 *
 * @module
 */

import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import type { ScheduleCost } from "../../../planning/traffic/cost.ts";
import type { Work } from "../work/key_ranges.ts";
import type { KernelWork, MergeLimits, Schedule } from "../work/schedule.ts";
import type { MovedWork } from "../moved_work.ts";
import type { PassedOver, Profile } from "./variant.ts";

/**
 * The size of what a workgroup does at a time.
 *
 * @category Plans
 */
export interface TileSize {
  /** Packed query rows of a row tile. */
  readonly rows: number;
  /** Keys of a step. */
  readonly keys: number;
}

/** A dispatch before its grid is folded. */
export interface TileDispatch {
  /** The kernel. */
  readonly source: KernelSource;
  /** Its tile, where it goes along keys. */
  readonly tile: TileSize | undefined;
  /** First word of its tiles. */
  readonly tilesAt: number;
  /** Workgroups along x and z. */
  readonly groups: number;
  /** Workgroups along y. */
  readonly heads: number;
  /** Uniforms that only some kernels have. */
  readonly uniforms: Readonly<Record<string, number>>;
}

/** Work of one variant. */
export interface VariantWork extends KernelWork {
  /** For people: the variant's name, and whether its keys are shared. */
  readonly name: string;
  /** The features that it uses. */
  readonly profile: Profile;
  /** What a workgroup does at a time, where it is not a whole row tile. */
  readonly tile?: TileSize;
  /** What comes before it in the list, and why that does not run. */
  readonly passedOver: readonly PassedOver[];
  /** Its kernel, by how the work was partitioned. */
  readonly kernel: (choice: Partial<AttentionSpec>) => KernelSource;
}

/** What an algorithm moves and computes. */
export interface AlgorithmCost extends ScheduleCost {
  /** Query rows that its kernels load again, after their tile's first step. */
  readonly rowsAgain: number;
}

/** An algorithm's answer for a problem. */
export interface Algorithm {
  /** What its merge may do. */
  readonly merge: MergeLimits;
  /** Who attends to which keys. */
  readonly work: Work;
  /** What takes it. */
  readonly kernels: readonly VariantWork[];
  /** The dispatches, in order. */
  readonly dispatches: (schedule: Schedule) => readonly TileDispatch[];
  /** What it moves and computes, by its work. */
  readonly cost: (work: MovedWork) => AlgorithmCost;
  /** Bytes of scratch, by binding. */
  readonly scratch: (schedule: Schedule) => Readonly<Record<string, number>>;
}

/** The largest of possibly very many numbers, at least 1. */
export function largest(numbers: readonly number[]): number {
  return numbers.reduce((most, number) => Math.max(most, number), 1);
}

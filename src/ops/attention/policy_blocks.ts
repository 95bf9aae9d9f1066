/**
 * Blocks that a policy's dispatches select, before attention's own.
 *
 * @module
 */

import type { GpuTensor } from "../../gpu/mod.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";

/**
 * Blocks that dispatches select, recorded before attention's own.
 *
 * @category Policies
 */
export interface PolicyBlocks {
  /** What they write, and attention reads. */
  readonly mask: DeviceBlockMask;
  /**
   * Records them. Called by every `encode()` of a plan.
   *
   * @param tensors Queries and keys of the call; none of what a cache holds.
   */
  encode(
    encoder: GPUCommandEncoder,
    tensors: {
      readonly query: GpuTensor;
      readonly key?: GpuTensor | undefined;
    },
  ): void;
}

/**
 * A policy, as a plan tells of it.
 *
 * @category Policies
 */
export interface ExplainedPolicy {
  /** Its name. */
  readonly name: string;
  /** What it gave: masks, scores, blocks that the device selects. */
  readonly by: readonly ("masks" | "scores" | "blocks")[];
}

/**
 * A policy, as a problem has it.
 *
 * @category Policies
 */
export interface ProblemPolicy extends ExplainedPolicy {
  /** Blocks that the device selects, if it does. */
  readonly blocks?: PolicyBlocks | undefined;
}

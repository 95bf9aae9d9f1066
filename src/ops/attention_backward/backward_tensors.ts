/**
 * What a backward plan reads and writes.
 *
 * @module
 */

import type { GpuBuffer, GpuTensor } from "../../gpu/mod.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";

/**
 * What a backward plan's `encode` reads and writes.
 *
 * @category Attention
 */
export interface BackwardTensors {
  /**
   * As in the options; where they have `qkv`, that, also as key and value; where
   * they give strides, what holds the rows, of any shape, as for all tensors.
   */
  readonly query: GpuTensor;
  /** Keys; not where they are in arenas. */
  readonly key?: GpuTensor | undefined;
  /** Values; not where they are in arenas. */
  readonly value?: GpuTensor | undefined;
  /** Arenas, each with keys first. */
  readonly arenas?: readonly GpuBuffer[] | undefined;
  /**
   * Where the options have a block mask on the device: another one of the same
   * geometry, if it is what forward had. What a policy selected for forward
   * must be given, such as a {@linkcode DeviceBlockMask.copy} of it.
   */
  readonly blockMask?: DeviceBlockMask | undefined;
  /**
   * Where the options have a block table on the device: another one of the same
   * shape, if it is what forward had.
   */
  readonly blockTable?: GpuTensor | undefined;
  /** What forward gave. */
  readonly output: GpuTensor;
  /** Forward's log-sum-exp, f32. */
  readonly lse: GpuTensor;
  /** The loss's derivative by the output: like it, in the same places. */
  readonly outputGradient: GpuTensor;
  /** The loss's derivative by the log-sum-exp: like it; where the plan has it. */
  readonly lseGradient?: GpuTensor | undefined;
  /** Written: `[..., queryHeads, headDim]`, in the problem's layout. */
  readonly queryGradient: GpuTensor;
  /**
   * Written: like the key; where keys are in blocks or in a cache,
   * `[tokens, kvHeads, headDim]` of each sequence's written keys, one sequence
   * after the other.
   */
  readonly keyGradient: GpuTensor;
  /** Written: the same of values, with `valueHeadDim`. */
  readonly valueGradient: GpuTensor;
  /**
   * Written: one for each of the plan's `captureGradients`, f32, with as many
   * elements as what is captured.
   */
  readonly captureGradients?: readonly GpuTensor[] | undefined;
}

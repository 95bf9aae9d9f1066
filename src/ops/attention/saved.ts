/**
 * What a forward call leaves for backward.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu, GpuTensor } from "../../gpu/mod.ts";
import type { HostTensor } from "../tensors.ts";
import type { AttentionTensors } from "./plan_tensors.ts";
import type { AttentionProblem } from "./problem.ts";

/**
 * What a saved state is made of.
 *
 * @category Gradients
 */
export interface SavedParts {
  /** The device. */
  readonly gpu: Gpu;
  /** What was computed. */
  readonly problem: AttentionProblem;
  /** What was read, and what was written. */
  readonly tensors: AttentionTensors & { readonly lse: GpuTensor };
  /** The query's shape, or that of `qkv`. */
  readonly queryShape: readonly number[];
  /** The key's shape, where it is a tensor in order. */
  readonly keyShape?: readonly number[] | undefined;
  /** Whether the query was on the host, so that gradients are to be, too. */
  readonly onHost: boolean;
  /** What it owns, and frees. */
  readonly owned: readonly { destroy(): void }[];
}

/**
 * What `attentionBackward()` needs of a call of `attention()` with
 * `forBackward`: inputs, output and log-sum-exp on the device, O(N) in all. It
 * owns the copies that the call made, and one of the blocks that the device
 * selected; GPU tensors of the caller's stay the
 * caller's, and must stay as they are until backward has been submitted, as
 * must the blocks of a cache.
 *
 * @example Forward, backward, and freed
 * ```ts
 * import { attention, attentionBackward, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const shape = [1, 2, 1, 4];
 * const x = { data: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]), shape };
 * const { saved } = await attention(gpu, {
 *   query: x,
 *   key: x,
 *   value: x,
 *   forBackward: true,
 * });
 * using state = saved!;
 * const ones = { data: new Float32Array(8).fill(1), shape };
 * const { value } = await attentionBackward(gpu, state, { outputGradient: ones });
 * console.log(value.data.length); // 8
 * ```
 *
 * @category Attention
 */
export class SavedAttention<
  // Where the query was, and gradients are to be.
  T extends GpuTensor | HostTensor = GpuTensor | HostTensor,
> implements Disposable {
  readonly #parts: SavedParts;
  #destroyed = false;

  /** Made by `attention()`. */
  constructor(parts: SavedParts) {
    this.#parts = parts;
  }

  /** What was computed. */
  get problem(): AttentionProblem {
    return this.#parts.problem;
  }

  /**
   * What backward reads.
   *
   * @throws {TypeError} if it is destroyed
   */
  get parts(): SavedParts {
    checkType(!this.#destroyed, "saved", "must not be destroyed", "destroyed");
    return this.#parts;
  }

  /** Frees what it owns; further calls do nothing. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const made of this.#parts.owned) made.destroy();
  }

  /** The same as {@linkcode SavedAttention.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

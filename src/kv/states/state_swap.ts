/**
 * Swapping: the states of sequences that give way, in host memory. Which slot
 * on the device goes to which on the host is a `CacheManager`'s business.
 *
 * @module
 */

import type { SwapTransfer } from "../../cache/swap/swap_space.ts";
import { checkInteger } from "../../core/check.ts";
import { type BlockSlot, HostSwap, type SwapOptions } from "../host_swap.ts";
import type { StagedArenas } from "../staging.ts";
import type { StateCache } from "./state_cache.ts";
import { blockOf } from "./state_sizes.ts";

/**
 * How large a `StateSwap` is.
 *
 * @category Cache
 */
export interface StateSwapOptions {
  /** Slots of host memory, as many as the manager's. */
  readonly hostStates: number;
  /**
   * States that are moved at a time. By default as many as 32 MiB hold, and one
   * at least.
   */
  readonly stagingStates?: number;
}

/**
 * Host memory for states of a `StateCache`, and the transfers there and back,
 * which change no bit: as `KvSwap` has them for blocks. A state goes with its
 * extras and with its bytes in all layers.
 *
 * @example Swap a sequence out and back
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { BlockPool, CacheManager } from "@quire/attention/cache";
 * import { StateCache, StateSwap } from "@quire/attention/kv";
 *
 * using gpu = await openGpu();
 * using cache = await StateCache.create(gpu, {
 *   numStates: 8,
 *   stateHeads: 1,
 *   headDim: 4,
 * });
 * using swap = await StateSwap.create(cache, { hostStates: 8 });
 * const manager = new CacheManager({
 *   pool: new BlockPool({ numBlocks: 2 }), // no group has blocks
 *   groups: [{ kind: "state" }],
 *   states: { pool: cache.pool, hostStates: 8 },
 * });
 * const { sequence, pending } = manager.create([1, 2, 3]);
 * manager.reserve(sequence, pending); // run its parts, then
 * manager.commit(sequence);
 *
 * const out = manager.beginSwapOut([sequence]);
 * await swap.run(out);
 * manager.completeSwap(out); // its slot is free
 * const back = manager.beginSwapIn([sequence]);
 * await swap.run(back);
 * manager.completeSwap(back);
 * console.log(sequence.status); // running
 * ```
 *
 * @category Cache
 */
export class StateSwap implements Disposable {
  /** The cache whose states are moved. */
  readonly cache: StateCache;
  /** Slots of host memory: 1 to this. */
  readonly hostStates: number;
  /** States that are moved at a time. */
  readonly stagingStates: number;
  readonly #swap: HostSwap;

  private constructor(cache: StateCache, swap: HostSwap) {
    this.cache = cache;
    this.hostStates = swap.hostBlocks;
    this.stagingStates = swap.stagingBlocks;
    this.#swap = swap;
  }

  /**
   * Allocates the staging of a cache; host memory is taken when it is used.
   *
   * @throws {TypeError} if the cache is destroyed, or a count is not a number
   * @throws {RangeError} if a count is out of range, or a state of all layers
   * larger than what the device can bind
   * @throws {Error} if the device has no memory for the staging
   */
  static async create(
    cache: StateCache,
    options: StateSwapOptions,
  ): Promise<StateSwap> {
    cache.check();
    const { hostStates, stagingStates } = options;
    checkInteger("hostStates", hostStates, 1, 2 ** 31 - 2);
    const swap = await HostSwap.create({
      arenas: cache.names.map((name) => stagedStates(cache, name)),
      blocks: { firstBlock: 1, numBlocks: cache.numStates },
      check: () => cache.check(),
    }, {
      hostBlocks: hostStates,
      stagingBlocks: stagingStates,
      names: {
        bytes: "a state's bytes in all layers",
        staging: "stagingStates",
      },
    });
    return new StateSwap(cache, swap);
  }

  /** Bytes of a slot: a state's, and its extras', of all layers. */
  get slotBytes(): number {
    return this.#swap.slotBytes;
  }

  /** Bytes of host memory that slots take now; they are kept until the end. */
  get byteLength(): number {
    return this.#swap.byteLength;
  }

  /**
   * Carries out the states' part of a manager's transfer; when the blocks' is
   * done as well, its `completeSwap` may be called.
   *
   * @throws {TypeError} as `out` and `in` do, or if it has no direction
   * @throws {RangeError} as `out` and `in` do
   */
  async run(
    transfer: Pick<SwapTransfer, "direction" | "states">,
    options: SwapOptions = {},
  ): Promise<void> {
    const { direction, states = [] } = transfer;
    await this.#swap.run(direction, states, options);
  }

  /**
   * Moves states to slots of host memory; those are empty until all of them are
   * there.
   *
   * @throws {TypeError} if something is destroyed, a slot comes twice or is in
   * another transfer, or a state is being written by one
   * @throws {RangeError} if a slot does not exist
   */
  async out(
    copies: readonly BlockSlot[],
    options: SwapOptions = {},
  ): Promise<void> {
    await this.#swap.out(copies, options);
  }

  /**
   * Moves states back from host slots, which keep what they hold.
   *
   * @throws {TypeError} if something is destroyed, a state comes twice or is in
   * another transfer, or a slot is being written by one
   * @throws {RangeError} if a slot does not exist, or holds nothing
   */
  async in(
    copies: readonly BlockSlot[],
    options: SwapOptions = {},
  ): Promise<void> {
    await this.#swap.in(copies, options);
  }

  /**
   * Frees the staging and the host's memory; further calls do nothing.
   * Transfers that are under way reject.
   */
  destroy(): void {
    this.#swap.destroy();
  }

  /** The same as {@linkcode StateSwap.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** The arenas of one tensor of the states, by its name. */
function stagedStates(cache: StateCache, name: string): StagedArenas {
  const { gpu, layers, numStates } = cache;
  return {
    ...blockOf(cache.states(0, name).shape.slice(1)),
    gpu,
    layers,
    segmentBlocks: numStates,
    arenas: (layer) => [cache.states(layer, name)],
    copyPending: () => {},
  };
}

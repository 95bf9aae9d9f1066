/**
 * Swapping: the keys and values of sequences that give way, in host memory.
 * Which block goes to which slot is a `CacheManager`'s business.
 *
 * @module
 */

import type { SwapTransfer } from "../cache/swap/swap_space.ts";
import { checkInteger } from "../core/check.ts";
import type { KvArenas } from "./arenas.ts";
import { type BlockSlot, HostSwap, type SwapOptions } from "./host_swap.ts";

export type { BlockSlot, SwapOptions } from "./host_swap.ts";

/**
 * How large a `KvSwap` is.
 *
 * @category Cache
 */
export interface KvSwapOptions {
  /** Slots of host memory, as many as the manager's. */
  readonly hostBlocks: number;
  /**
   * Blocks that are moved at a time. By default as many as 32 MiB hold, and one
   * at least; the device has one buffer for so many, and while a transfer runs,
   * twice as many bytes are on the way.
   */
  readonly stagingBlocks?: number;
}

/**
 * Host memory for blocks of a KV cache, and the transfers there and back, which
 * change no bit. A block goes with its bytes in all layers: it belongs to one
 * group of layers alone, so a copy's `group` need not be looked at.
 *
 * A transfer comes after everything that was submitted before it, and goes on
 * round by round while the caller submits other work. Until it is done, nobody
 * else may write its blocks, and with a manager nobody does: they stay its
 * sequences' own until `completeSwap`.
 *
 * Several transfers may run at once, as long as none writes what another uses.
 * One that rejects on its way (for its signal, a lost device, or something
 * destroyed) is to be ended by `abortSwap`, or run again. Out, its slots are
 * empty; in, its slots hold what they held, and its blocks hold anything.
 *
 * @example Swap a sequence out and back
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { CacheManager } from "@quire/attention/cache";
 * import { KvCache, KvSwap } from "@quire/attention/kv";
 *
 * const gpu = await openGpu();
 * const cache = await KvCache.create(gpu, { numBlocks: 8, kvHeads: 1, headDim: 4 });
 * const manager = new CacheManager({ pool: cache.pool, hostBlocks: 8 });
 * const swap = await KvSwap.create(cache, { hostBlocks: 8 });
 * const { sequence, pending } = manager.create([1, 2, 3]);
 * manager.reserve(sequence, pending); // write to its slots, then
 * manager.commit(sequence);
 *
 * const out = manager.beginSwapOut([sequence]);
 * await swap.run(out);
 * manager.completeSwap(out); // its blocks are free
 * const back = manager.beginSwapIn([sequence]);
 * await swap.run(back);
 * manager.completeSwap(back);
 * console.log(sequence.status); // running
 * gpu.destroy();
 * ```
 *
 * @category Cache
 */
export class KvSwap implements Disposable {
  /** The cache whose blocks are moved. */
  readonly cache: KvArenas;
  /** Slots of host memory: 1 to this. */
  readonly hostBlocks: number;
  /** Blocks that are moved at a time. */
  readonly stagingBlocks: number;
  readonly #swap: HostSwap;

  private constructor(cache: KvArenas, swap: HostSwap) {
    this.cache = cache;
    this.hostBlocks = swap.hostBlocks;
    this.stagingBlocks = swap.stagingBlocks;
    this.#swap = swap;
  }

  /**
   * Allocates the staging of a cache; host memory is taken when it is used.
   *
   * @throws {TypeError} if the cache is destroyed, or a count is not a number
   * @throws {RangeError} if a count is out of range, or a block of all layers
   * larger than what the device can bind
   * @throws {Error} if the device has no memory for the staging
   */
  static async create(
    cache: KvArenas,
    options: KvSwapOptions,
  ): Promise<KvSwap> {
    cache.arenas(); // Throws where it is destroyed.
    const { hostBlocks } = options;
    checkInteger("hostBlocks", hostBlocks, 1, 2 ** 31 - 2);
    const { firstBlock, numBlocks } = cache;
    const swap = await HostSwap.create({
      arenas: [cache],
      blocks: { firstBlock, numBlocks },
      // Throws where it is destroyed, or the device lost.
      check: () => cache.arenas(),
    }, {
      hostBlocks,
      stagingBlocks: options.stagingBlocks,
      names: {
        bytes: "a block's bytes in all layers",
        staging: "stagingBlocks",
      },
    });
    return new KvSwap(cache, swap);
  }

  /** Bytes of a slot: a block's keys and values of all layers. */
  get slotBytes(): number {
    return this.#swap.slotBytes;
  }

  /** Bytes of host memory that slots take now; they are kept until the end. */
  get byteLength(): number {
    return this.#swap.byteLength;
  }

  /**
   * Carries out a manager's transfer; then its `completeSwap` may be called.
   *
   * @throws {TypeError} as `out` and `in` do, or if it has no direction
   * @throws {RangeError} as `out` and `in` do
   */
  async run(
    transfer: Pick<SwapTransfer, "direction" | "copies">,
    options: SwapOptions = {},
  ): Promise<void> {
    await this.#swap.run(transfer.direction, transfer.copies, options);
  }

  /**
   * Moves blocks to slots of host memory; those are empty until all of them are
   * there.
   *
   * @throws {TypeError} if something is destroyed, a slot comes twice or is in
   * another transfer, or a block is being written by one
   * @throws {RangeError} if a block or a slot does not exist
   */
  async out(
    copies: readonly BlockSlot[],
    options: SwapOptions = {},
  ): Promise<void> {
    await this.#swap.out(copies, options);
  }

  /**
   * Moves blocks back from slots, which keep what they hold.
   *
   * @throws {TypeError} if something is destroyed, a block comes twice or is in
   * another transfer, or a slot is being written by one
   * @throws {RangeError} if a block or a slot does not exist, or a slot holds
   * nothing
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

  /** The same as {@linkcode KvSwap.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

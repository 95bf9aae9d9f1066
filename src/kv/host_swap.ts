/**
 * Host memory for what lies in numbered places on the device, and the transfers
 * there and back, round by round.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { HostBlocks } from "../cache/swap/host_blocks.ts";
import {
  SwapClaims,
  type SwapMoves,
  swapMoves,
  type SwapSizes,
} from "../cache/swap/swap_moves.ts";
import { type SwapRounds, swapRounds } from "../cache/swap/swap_rounds.ts";
import type { SwapCopy } from "../cache/swap/swap_space.ts";
import {
  BlockStaging,
  mostPacked,
  packedBytes,
  type StagedArenas,
} from "./staging.ts";

/**
 * How a transfer is made.
 *
 * @category Cache
 */
export interface SwapOptions {
  /** Ends the transfer early; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * A block and its slot; the group of layers does not matter here.
 *
 * @category Cache
 */
export type BlockSlot = Pick<SwapCopy, "block" | "slot">;

/** What is swapped. */
export interface SwappedArenas {
  /** Arenas of blocks, each of which goes with its bytes in all of them. */
  readonly arenas: readonly StagedArenas[];
  /** The first block that may be moved, and how many there are. */
  readonly blocks: Pick<SwapSizes, "firstBlock" | "numBlocks">;
  /** Throws where the arenas cannot be used. */
  readonly check: () => void;
}

/** How much is swapped. */
export interface HostSwapOptions {
  /** Slots of host memory. */
  readonly hostBlocks: number;
  /** Blocks that are moved at a time. */
  readonly stagingBlocks: number | undefined;
  /** What errors call a block's size, and the blocks of a round. */
  readonly names: { readonly bytes: string; readonly staging: string };
}

const STAGING_BYTES = 32 * 2 ** 20;

/** The results of all; where one fails, none is under way any more. */
async function settled<T>(parts: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(parts);
  return await Promise.all(parts);
}

/** The transfers of arenas that are moved together. */
export class HostSwap implements Disposable {
  /** Slots of host memory: 1 to this. */
  readonly hostBlocks: number;
  /** Blocks that are moved at a time. */
  readonly stagingBlocks: number;
  readonly #swapped: SwappedArenas;
  readonly #hosts: readonly HostBlocks[];
  readonly #stagings: readonly BlockStaging[];
  readonly #claims = new SwapClaims();
  #destroyed = false;

  private constructor(
    swapped: SwappedArenas,
    sizes: { readonly hostBlocks: number; readonly stagingBlocks: number },
    stagings: readonly BlockStaging[],
  ) {
    this.hostBlocks = sizes.hostBlocks;
    this.stagingBlocks = sizes.stagingBlocks;
    this.#swapped = swapped;
    this.#hosts = swapped.arenas.map((a) => new HostBlocks(packedBytes(a)));
    this.#stagings = stagings;
  }

  /**
   * Allocates the staging; host memory is taken when it is used.
   *
   * @throws {RangeError} if `stagingBlocks` is out of range, or a block larger
   * than what the device can bind
   * @throws {Error} if the device has no memory for the staging
   */
  static async create(
    swapped: SwappedArenas,
    { hostBlocks, stagingBlocks, names }: HostSwapOptions,
  ): Promise<HostSwap> {
    const sizes = swapped.arenas.map(packedBytes);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const most = Math.min(...swapped.arenas.map(mostPacked));
    checkRange(
      most >= 1,
      names.bytes,
      "must be <= what the device can bind",
      Math.max(...sizes),
    );
    const usual = Math.max(1, Math.floor(STAGING_BYTES / bytes));
    const count = stagingBlocks ?? Math.min(usual, most, hostBlocks);
    checkInteger(names.staging, count, 1, most);
    const stagings: BlockStaging[] = [];
    try {
      for (const arenas of swapped.arenas) {
        stagings.push(await BlockStaging.create(arenas, count));
      }
    } catch (error) {
      for (const staging of stagings) staging.destroy();
      throw error;
    }
    return new HostSwap(
      swapped,
      { hostBlocks, stagingBlocks: count },
      stagings,
    );
  }

  /** Bytes of a slot: a block's in all arenas. */
  get slotBytes(): number {
    return this.#hosts.reduce((sum, { slotBytes }) => sum + slotBytes, 0);
  }

  /** Bytes of host memory that slots take now; they are kept until the end. */
  get byteLength(): number {
    return this.#hosts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** As `KvSwap.run()`. */
  async run(
    direction: SwapMoves["direction"],
    copies: readonly BlockSlot[],
    options: SwapOptions,
  ): Promise<void> {
    checkType(
      direction === "out" || direction === "in",
      "transfer.direction",
      'must be "out" or "in"',
      direction,
    );
    await (direction === "out"
      ? this.out(copies, options)
      : this.in(copies, options));
  }

  /** As `KvSwap.out()`. */
  async out(
    copies: readonly BlockSlot[],
    options: SwapOptions,
  ): Promise<void> {
    this.#check();
    const moves = swapMoves("out", copies, this.#sizes);
    this.#claims.check(moves);
    options.signal?.throwIfAborted();
    await this.#claims.hold(moves, async () => {
      for (const host of this.#hosts) host.open(moves.slots);
      await this.#inRounds(moves, options, {
        begin: ({ blocks }) =>
          settled(this.#stagings.map((s) => s.read(blocks, options))),
        end: ({ slots }, packed) =>
          this.#hosts.forEach((host, i) => host.write(slots, packed[i])),
      });
      for (const host of this.#hosts) host.seal(moves.slots);
    });
  }

  /** As `KvSwap.in()`. */
  async in(
    copies: readonly BlockSlot[],
    options: SwapOptions,
  ): Promise<void> {
    this.#check();
    const moves = swapMoves("in", copies, this.#sizes);
    this.#claims.check(moves);
    moves.slots.forEach((slot, i) => {
      const name = `copies[${i}].slot`;
      const holds = this.#hosts.every((host) => host.has(slot));
      checkRange(holds, name, "must hold what was moved out", slot);
    });
    options.signal?.throwIfAborted();
    const most = Math.min(this.stagingBlocks, moves.slots.length);
    const packed = this.#hosts.map(({ slotBytes }) =>
      new Uint8Array(Math.ceil(most * slotBytes / 4) * 4)
    );
    await this.#claims.hold(moves, () =>
      this.#inRounds(moves, options, {
        begin: ({ blocks, slots }) =>
          settled(this.#stagings.map((staging, i) => {
            this.#hosts[i].read(slots, packed[i]);
            return staging.write(blocks, packed[i], options);
          })),
        end: () => {},
      }));
  }

  /**
   * Frees the staging and the host's memory; further calls do nothing.
   * Transfers that are under way reject.
   */
  destroy(): void {
    this.#destroyed = true;
    for (const staging of this.#stagings) staging.destroy();
    for (const host of this.#hosts) host.clear();
  }

  /** The same as {@linkcode HostSwap.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  async #inRounds<T>(
    moves: SwapMoves,
    { signal }: SwapOptions,
    round: Pick<SwapRounds<T>, "begin" | "end">,
  ): Promise<void> {
    const check = () => {
      signal?.throwIfAborted();
      this.#check();
    };
    await swapRounds(moves, { ...round, check, size: this.stagingBlocks });
  }

  get #sizes(): SwapSizes {
    return { ...this.#swapped.blocks, hostBlocks: this.hostBlocks };
  }

  #check(): void {
    checkType(!this.#destroyed, "swap", "must not be destroyed", "destroyed");
    this.#swapped.check();
  }
}

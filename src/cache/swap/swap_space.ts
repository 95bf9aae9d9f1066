/**
 * Sequences in host memory, and the transfers to and fro.
 *
 * @module
 */

import { BlockPool } from "../block/block_pool.ts";
import { BlockTable } from "../block/block_table.ts";
import { HostPool, type SwapCopy } from "./host_pool.ts";
import { StatePool } from "../state/state_pool.ts";
import { StateSequence } from "../state/state_sequence.ts";

export type { SwapCopy } from "./host_pool.ts";
import type {
  CacheSequence,
  SequenceState,
} from "../manager/cache_sequence.ts";

/**
 * A transfer under way: made by `beginSwapOut` or `beginSwapIn`.
 *
 * @category Cache
 */
export interface SwapTransfer {
  /** Where to. */
  readonly direction: "out" | "in";
  /** The sequences that move. */
  readonly sequences: readonly CacheSequence[];
  /** What to copy; a block that several of them share goes once. */
  readonly copies: readonly SwapCopy[];
  /**
   * The same for groups of states, from slot to slot; only where there is such
   * a group.
   */
  readonly states?: readonly SwapCopy[];
}

/** What a transfer copies. */
export type TransferCopies = Pick<SwapTransfer, "copies" | "states">;

/** Where the states of a manager lie. */
export interface SwapStateOptions {
  /** The slots on the device. */
  readonly pool: StatePool;
  /** Slots on the host. */
  readonly hostStates: number;
  /** The number of the first group of states. */
  readonly firstGroup: number;
}

/** The host's blocks and states, and what moving sequences there and back does. */
export class SwapSpace {
  readonly #device: BlockPool;
  readonly #blocks: HostPool;
  readonly #recurrent: (SwapStateOptions & { host: HostPool }) | undefined;

  /** Makes room for `hostBlocks` blocks, and for states; 0 for none. */
  constructor(
    device: BlockPool,
    hostBlocks: number,
    recurrent?: SwapStateOptions,
  ) {
    const { blockSize } = device;
    this.#device = device;
    this.#blocks = new HostPool(
      device,
      hostBlocks === 0
        ? undefined
        : new BlockPool({ numBlocks: hostBlocks + 1, blockSize }),
    );
    this.#recurrent = recurrent && {
      ...recurrent,
      host: new HostPool(
        recurrent.pool,
        recurrent.hostStates === 0
          ? undefined
          : new StatePool({ numStates: recurrent.hostStates + 1, blockSize }),
        recurrent.firstGroup,
      ),
    };
  }

  /** The host's blocks. */
  get blocks(): HostPool {
    return this.#blocks;
  }

  /** The host's states, if there are groups of them. */
  get states(): HostPool | undefined {
    return this.#recurrent?.host;
  }

  /**
   * Takes host slots for running sequences, which keep what they have.
   *
   * @throws {OutOfBlocksError} if the host has too few.
   */
  beginOut(states: readonly SequenceState[]): TransferCopies {
    const begun = states.map(({ tables, tokens }) =>
      tables.map((table) =>
        table.blocks.slice(0, Math.ceil(tokens.length / table.pool.blockSize))
      )
    );
    const held = states.map(({ states }) => states.map(({ slot }) => [slot]));
    // Of two pools, none is changed where the other is too small.
    this.states?.checkOut(held);
    const blocks = this.#blocks.out(begun);
    const slots = this.states?.out(held);
    states.forEach((state, i) => {
      state.host = blocks.ids[i];
      state.hostStates = slots?.ids[i].flat() ?? [];
      state.status = "swappingOut";
    });
    return { copies: blocks.copies, ...(slots && { states: slots.copies }) };
  }

  /** Gives back the host's slots: the way out failed, or that in is done. */
  releaseHost(state: SequenceState): void {
    this.#blocks.release(state.host);
    this.states?.release([state.hostStates]);
    state.host = [];
    state.hostStates = [];
  }

  /**
   * Takes blocks and slots for sequences in host memory, which keep what they
   * have there.
   *
   * @throws {OutOfBlocksError} if the device has too few.
   */
  beginIn(states: readonly SequenceState[]): TransferCopies {
    const held = states.map(({ hostStates }) => hostStates.map((id) => [id]));
    this.states?.checkIn(held);
    const blocks = this.#blocks.in(states.map(({ host }) => host));
    const slots = this.states?.in(held);
    states.forEach((state, i) => {
      const { committed } = state;
      state.tables = blocks.ids[i].map((ids) =>
        BlockTable.adopt(this.#device, ids, {
          length: state.tokens.length,
          committed,
        })
      );
      state.states = slots?.ids[i].map(([slot]) =>
        StateSequence.adopt(this.#recurrent!.pool, slot, committed)
      ) ?? [];
      state.status = "swappingIn";
    });
    return { copies: blocks.copies, ...(slots && { states: slots.copies }) };
  }

  /**
   * Checks the host's blocks and states.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#blocks.verify();
    this.states?.verify();
  }
}

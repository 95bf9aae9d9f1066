/**
 * Blocks in host memory, bounded in number, and the transfers to and fro.
 *
 * @module
 */

import { OutOfBlocksError } from "../../core/errors.ts";
import { BlockPool, NULL_BLOCK } from "../block/block_pool.ts";
import { BlockTable } from "../block/block_table.ts";
import type {
  CacheSequence,
  SequenceState,
} from "../manager/cache_sequence.ts";

/**
 * A block's way between device and host.
 *
 * @category Cache
 */
export interface SwapCopy {
  /** The block on the device. */
  readonly block: number;
  /** The slot in host memory, 1 or more. */
  readonly slot: number;
  /** The layer group whose keys and values are moved. */
  readonly group: number;
}

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
}

/** Every id of a table at most once: each with what it becomes. */
class Relocation {
  readonly #to: Map<number, number> = new Map();
  readonly order: { readonly from: number; readonly group: number }[] = [];

  constructor(tables: readonly (readonly (readonly number[])[])[]) {
    for (const groups of tables) {
      groups.forEach((ids, group) => {
        for (const from of ids) {
          if (from === NULL_BLOCK || this.#to.has(from)) continue;
          this.#to.set(from, NULL_BLOCK);
          this.order.push({ from, group });
        }
      });
    }
  }

  /** Takes blocks of `pool` for all, each held as often as it is named. */
  moveTo(
    pool: BlockPool,
    tables: readonly (readonly (readonly number[])[])[],
  ): number[][][] {
    const fresh = pool.allocate(this.order.length);
    this.order.forEach(({ from }, i) => this.#to.set(from, fresh[i]));
    const seen = new Set<number>();
    const move = (from: number) => {
      if (from === NULL_BLOCK) return NULL_BLOCK;
      const to = this.#to.get(from)!;
      if (seen.has(to)) pool.retain(to);
      seen.add(to);
      return to;
    };
    return tables.map((groups) => groups.map((ids) => ids.map(move)));
  }

  to(from: number): number {
    return this.#to.get(from)!;
  }
}

/** Releases every block of a set of tables, the last of each first. */
function releaseAll(pool: BlockPool, groups: readonly number[][]): void {
  for (const ids of groups) {
    for (const id of ids.toReversed()) if (id !== NULL_BLOCK) pool.release(id);
  }
}

/** The host's blocks, and what moving sequences there and back does. */
export class SwapSpace {
  readonly #device: BlockPool;
  readonly #host: BlockPool | undefined;

  /** Makes room for `hostBlocks` blocks; 0 for none. */
  constructor(device: BlockPool, hostBlocks: number) {
    this.#device = device;
    this.#host = hostBlocks === 0 ? undefined : new BlockPool({
      numBlocks: hostBlocks + 1,
      blockSize: device.blockSize,
    });
  }

  /** Blocks that host memory has room for. */
  get totalBlocks(): number {
    return this.#host?.totalBlocks ?? 0;
  }

  /** Those of them that hold nothing. */
  get freeBlocks(): number {
    return this.#host?.freeBlocks ?? 0;
  }

  /** Holders of a slot. */
  refCount(slot: number): number {
    return this.#host?.refCount(slot) ?? 0;
  }

  /**
   * Takes host slots for running sequences, which keep their blocks.
   *
   * @throws {OutOfBlocksError} if the host has too few.
   */
  beginOut(states: readonly SequenceState[]): SwapCopy[] {
    const begun = states.map(({ tables, tokens }) =>
      tables.map((table) =>
        table.blocks.slice(0, Math.ceil(tokens.length / table.pool.blockSize))
      )
    );
    const relocation = new Relocation(begun);
    const needed = relocation.order.length;
    if (this.#host === undefined && needed > 0) {
      throw new OutOfBlocksError({ needed, free: 0 });
    }
    // Without a host nothing is moved, so the pool below is not asked for any.
    const slots = relocation.moveTo(this.#host ?? this.#device, begun);
    states.forEach((state, i) => {
      state.host = slots[i];
      state.status = "swappingOut";
    });
    return relocation.order.map(({ from, group }) => ({
      block: from,
      slot: relocation.to(from),
      group,
    }));
  }

  /** Gives back the host's slots: the way out failed, or that in is done. */
  releaseHost(state: SequenceState): void {
    if (this.#host) releaseAll(this.#host, state.host);
    state.host = [];
  }

  /**
   * Takes blocks for sequences in host memory, which keep their slots.
   *
   * @throws {OutOfBlocksError} if the device has too few.
   */
  beginIn(states: readonly SequenceState[]): SwapCopy[] {
    const held = states.map(({ host }) => host);
    const relocation = new Relocation(held);
    const blocks = relocation.moveTo(this.#device, held);
    states.forEach((state, i) => {
      state.tables = blocks[i].map((ids) =>
        BlockTable.adopt(this.#device, ids, {
          length: state.tokens.length,
          committed: state.committed,
        })
      );
      state.status = "swappingIn";
    });
    return relocation.order.map(({ from, group }) => ({
      block: relocation.to(from),
      slot: from,
      group,
    }));
  }

  /**
   * Checks the host's blocks, against those that the sequences hold.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#host?.verify();
  }
}

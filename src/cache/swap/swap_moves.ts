/**
 * What a transfer moves, checked; and which transfers may run side by side.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { SwapCopy } from "./swap_space.ts";

/** A transfer, or a part of one: slot i is that of block i. */
export interface SwapMoves {
  /** Where to. */
  readonly direction: "out" | "in";
  /** Blocks on the device. */
  readonly blocks: readonly number[];
  /** Slots in host memory. */
  readonly slots: readonly number[];
}

/** The blocks and slots that there are. */
export interface SwapSizes {
  /** The first block that may be moved. */
  readonly firstBlock: number;
  /** Blocks of the cache. */
  readonly numBlocks: number;
  /** Slots, the first of which is 1. */
  readonly hostBlocks: number;
}

/**
 * Copies as moves.
 *
 * @throws {TypeError} if they are no array of copies
 * @throws {RangeError} naming the first block or slot that does not exist
 */
export function swapMoves(
  direction: SwapMoves["direction"],
  copies: readonly Pick<SwapCopy, "block" | "slot">[],
  { firstBlock, numBlocks, hostBlocks }: SwapSizes,
): SwapMoves {
  checkType(Array.isArray(copies), "copies", "must be an array", copies);
  copies.forEach((copy, i) => {
    const { block, slot } = copy ?? {};
    checkInteger(`copies[${i}].block`, block, firstBlock, numBlocks - 1);
    checkInteger(`copies[${i}].slot`, slot, 1, hostBlocks);
  });
  return {
    direction,
    blocks: copies.map(({ block }) => block),
    slots: copies.map(({ slot }) => slot),
  };
}

type Use = "read" | "write";

/** How transfers use blocks and slots. */
const USES = {
  out: { block: "read", slot: "write" },
  in: { block: "write", slot: "read" },
} as const;

/** Numbered things in use: many may read one, or one may write it. */
class Claims {
  readonly #name: string;
  /** Readers of each; -1 where it is written. */
  readonly #uses: Map<number, number> = new Map();

  constructor(name: string) {
    this.#name = name;
  }

  check(ids: readonly number[], use: Use): void {
    const seen = new Set<number>();
    ids.forEach((id, i) => {
      const name = `copies[${i}].${this.#name}`;
      const uses = this.#uses.get(id) ?? 0;
      const free = use === "read" ? uses >= 0 : uses === 0;
      checkType(free, name, "must not be in another transfer", id);
      const twice = use === "write" && seen.has(id);
      checkType(!twice, name, "must not be written twice", id);
      seen.add(id);
    });
  }

  take(ids: readonly number[], use: Use): void {
    for (const id of ids) {
      const uses = this.#uses.get(id) ?? 0;
      this.#uses.set(id, use === "write" ? -1 : uses + 1);
    }
  }

  release(ids: readonly number[], use: Use): void {
    for (const id of ids) {
      const left = use === "write" ? 0 : this.#uses.get(id)! - 1;
      if (left === 0) this.#uses.delete(id);
      else this.#uses.set(id, left);
    }
  }
}

/** The transfers that run: none writes what another uses. */
export class SwapClaims {
  readonly #blocks = new Claims("block");
  readonly #slots = new Claims("slot");

  /**
   * Throws unless a transfer may begin.
   *
   * @throws {TypeError} naming the first block or slot that it would write
   * twice, or that another transfer uses or writes
   */
  check({ direction, blocks, slots }: SwapMoves): void {
    this.#blocks.check(blocks, USES[direction].block);
    this.#slots.check(slots, USES[direction].slot);
  }

  /** Runs a checked transfer, during which others keep off what it uses. */
  async hold(
    { direction, blocks, slots }: SwapMoves,
    run: () => Promise<void>,
  ): Promise<void> {
    const uses = USES[direction];
    this.#blocks.take(blocks, uses.block);
    this.#slots.take(slots, uses.slot);
    try {
      await run();
    } finally {
      this.#blocks.release(blocks, uses.block);
      this.#slots.release(slots, uses.slot);
    }
  }
}

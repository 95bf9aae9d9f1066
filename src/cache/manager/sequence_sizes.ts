/**
 * How many blocks the sequences of a cache manager take.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import type { LayerGroup } from "./group_match.ts";
import { grownCapacity, type GrowthPolicy } from "../extent/growth.ts";

/** What the sizes follow from. */
export interface SizeOptions {
  /** Tokens per block. */
  readonly blockSize: number;
  /** Groups of layers, one block table each. */
  readonly groups: readonly LayerGroup[];
  /** When room is taken. */
  readonly growth: GrowthPolicy;
  /** The longest length of a sequence. */
  readonly maxLength: number;
}

/** Blocks for lengths. */
export class SequenceSizes {
  readonly #blockSize: number;
  readonly #groups: readonly LayerGroup[];
  readonly #growth: GrowthPolicy;
  /** The longest length of a sequence. */
  readonly maxLength: number;

  /** Takes the options as they are. */
  constructor({ blockSize, groups, growth, maxLength }: SizeOptions) {
    this.#blockSize = blockSize;
    this.#groups = groups;
    this.#growth = growth;
    this.maxLength = maxLength;
  }

  /** Throws if a sequence must not be so long. */
  checkLength(length: number): void {
    checkRange(
      length <= this.maxLength,
      "tokens.length",
      `must not take the sequence past maxLength, ${this.maxLength}`,
      length,
    );
  }

  /**
   * Blocks that growth takes beyond those for `length` tokens, where there is
   * room for `capacity` tokens already.
   */
  ahead(length: number, capacity: number): number {
    const wanted = grownCapacity(length, {
      policy: this.#growth,
      blockSize: this.#blockSize,
      maxLength: this.maxLength,
    });
    const begun = Math.ceil(length / this.#blockSize) * this.#blockSize;
    return Math.max(0, wanted - Math.max(capacity, begun)) / this.#blockSize;
  }

  /** As `CacheManager.peakBlocks()`. */
  peak(length: number, chunk: number): number {
    checkInteger("length", length, 0, this.maxLength);
    checkInteger("chunk", chunk, 1);
    return this.#groups.reduce(
      (sum, group) => sum + this.#peakOf(group, length, chunk),
      0,
    );
  }

  #peakOf(
    { left = Infinity }: LayerGroup,
    length: number,
    chunk: number,
  ): number {
    // Where room is taken ahead, it is there before the window moves.
    if (this.#growth !== "page") {
      return this.ahead(length, 0) + Math.ceil(length / this.#blockSize);
    }
    // All but one of the first block's tokens may be out of the window.
    const held = Math.min(length, left + chunk + this.#blockSize - 1);
    return Math.ceil(held / this.#blockSize);
  }
}

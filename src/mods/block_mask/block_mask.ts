/**
 * A mask in blocks: which blocks of keys each block of queries sees whole, in
 * part, or not at all.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { Bool } from "../expression.ts";
import { maskFunction } from "../evaluate.ts";
import { bindRows } from "../rows.ts";
import { type MaskMod, maskMod } from "../trace.ts";
import type { MaskPicture } from "../drawing/draw_mask.ts";
import { drawBlocks, type DrawBlocksOptions } from "./draw.ts";
import { blockCount, type BlockGrid, commonGrid } from "./geometry.ts";
import {
  broadcastLevels,
  EMPTY,
  FULL,
  PARTIAL,
  transposeLevels,
} from "./levels.ts";
import { type BlockLists, listsOf } from "./lists.ts";
import { noteBlockMask } from "./made.ts";
import type { Meaning } from "./meaning.ts";

/**
 * The lists of a block mask, or of its transpose.
 *
 * @category Blocks
 */
export interface MaskLists {
  /** Blocks of which every pair is seen. */
  readonly full: BlockLists;
  /** Blocks that are decided pair by pair. */
  readonly partial: BlockLists;
}

/**
 * How much of a problem a block mask keeps.
 *
 * @category Blocks
 */
export interface BlockDensity {
  /** Blocks in all. */
  readonly blocks: number;
  /** Blocks that are visited: full and partial ones. */
  readonly visited: number;
  /** Full ones among them. */
  readonly full: number;
  /** `visited / blocks`. */
  readonly ratio: number;
}

/**
 * What a {@linkcode BlockMask} is made of.
 *
 * @category Blocks
 */
export interface BlockMaskParts {
  /** For people. */
  readonly name: string;
  /** What it covers. */
  readonly grid: BlockGrid;
  /** What is known of each block. */
  readonly levels: Uint8Array;
  /** What it says of a pair; never against a level that is full or empty. */
  readonly meaning: Meaning;
}

/**
 * A mask in blocks, for `attention({ blockMask })`: blocks that are not listed
 * are not visited, full ones skip the mask, partial ones evaluate it. Made by
 * `blockMask()` of any mask mods, by `blockMaskFromPattern()` or
 * `blockMaskFromLists()`; combined by {@linkcode BlockMask.and},
 * {@linkcode BlockMask.or} and {@linkcode BlockMask.not}. Immutable.
 *
 * Full and partial lists are FlexAttention's; the blocks of queries and of keys
 * may differ in size.
 *
 * @category Masks and scores
 *
 * @example Every head its own blocks, causal
 * ```ts
 * import { blockMask, blockMaskFromPattern, causal } from "@quire/attention/mods";
 *
 * const geometry = { queries: 512, keys: 512, queryBlock: 64, keyBlock: 64 };
 * const strided = blockMaskFromPattern(
 *   (head, query, key) => (query - key) % (2 + head) === 0,
 *   { ...geometry, heads: 2 },
 * );
 * const mask = strided.and(blockMask(causal(), geometry));
 * console.log(mask.density()); // { blocks: 128, visited: 35, full: 19, ... }
 * ```
 */
export class BlockMask {
  /** For people. */
  readonly name: string;
  /** What it covers, in which blocks. */
  readonly grid: BlockGrid;
  /**
   * Of every block 0 (empty), 1 (partial) or 2 (full):
   * `[batch, heads, queryBlocks, keyBlocks]`.
   */
  readonly levels: Uint8Array;
  readonly #meaning: Meaning;
  readonly #mods = new Map<number, MaskMod>();
  #lists: MaskLists | undefined;
  #transposed: MaskLists | undefined;

  /** Call `blockMask()` and its like instead, which check what they are given. */
  constructor({ name, grid, levels, meaning }: BlockMaskParts) {
    this.name = name;
    this.grid = grid;
    this.levels = levels;
    this.#meaning = meaning;
    noteBlockMask(this);
  }

  /**
   * The blocks of keys of each row: a sequence, a head, a block of queries, in
   * this order.
   */
  get lists(): MaskLists {
    this.#lists ??= listsFor(this.levels, this.grid.keyBlocks);
    return this.#lists;
  }

  /**
   * The blocks of queries of each row: a sequence, a head, a block of keys.
   * What a backward pass that goes along keys visits.
   */
  get transposed(): MaskLists {
    this.#transposed ??= listsFor(
      transposeLevels(this.levels, this.grid),
      this.grid.queryBlocks,
    );
    return this.#transposed;
  }

  /**
   * The same mask pair by pair, as a mod: for an oracle, and for whoever takes
   * mods only.
   *
   * @param heads Query heads of the problem; the mask's own by default.
   * @throws {TypeError} If the mask has heads of its own, and not a divisor.
   */
  maskMod(heads: number = this.grid.heads): MaskMod {
    const own = this.grid.heads;
    checkInteger("heads", heads, 1, 2 ** 31 - 1);
    checkType(
      heads % own === 0,
      "heads",
      `must be a multiple of the block mask's (${own})`,
      heads,
    );
    const group = own === 1 ? 1 : heads / own;
    let mod = this.#mods.get(group);
    if (mod === undefined) {
      mod = maskMod(this.name, (variables) => this.#meaning(variables, group));
      this.#mods.set(group, mod);
    }
    return mod;
  }

  /** What both masks let through. */
  and(other: BlockMask): BlockMask {
    return this.#combine(other, "and", (a, b) => a < b ? a : b);
  }

  /** What any of the two masks lets through. */
  or(other: BlockMask): BlockMask {
    return this.#combine(other, "or", (a, b) => a > b ? a : b);
  }

  /** What the mask does not let through. */
  not(): BlockMask {
    return new BlockMask({
      name: `not(${this.name})`,
      grid: this.grid,
      levels: this.levels.map((level) => FULL - level),
      meaning: (...at): Bool => this.#meaning(...at).not(),
    });
  }

  /**
   * Draws the blocks of one sequence and head, a character a block: `·` empty,
   * `█` full, `▒` partial; and as SVG.
   *
   * @throws {RangeError} If there is no such sequence or head.
   */
  draw(options: DrawBlocksOptions = {}): MaskPicture {
    return drawBlocks(this, options);
  }

  /** How many blocks it visits. */
  density(): BlockDensity {
    const blocks = blockCount(this.grid);
    let [visited, full] = [0, 0];
    for (const level of this.levels) {
      if (level !== EMPTY) visited++;
      if (level === FULL) full++;
    }
    return { blocks, visited, full, ratio: visited / blocks };
  }

  /**
   * How many pairs it lets through, of all that its sequences and heads have.
   * Pairs of partial blocks are looked at one by one.
   */
  countPairs(): { readonly seen: number; readonly all: number } {
    const { batch, heads, queries, keys, queryOffset } = this.grid;
    const [mod] = bindRows([this.maskMod()], [queryOffset]);
    const sees = maskFunction([mod]);
    let seen = 0;
    this.#eachBlock(({ level, b, h, query, key }) => {
      if (level === FULL) {
        seen += (query[1] - query[0]) * (key[1] - key[0]);
      }
      if (level !== PARTIAL) return;
      for (let q = query[0]; q < query[1]; q++) {
        for (let k = key[0]; k < key[1]; k++) {
          if (sees(b, h, q + queryOffset, k)) seen++;
        }
      }
    });
    return { seen, all: batch * heads * queries * keys };
  }

  #eachBlock(
    visit: (block: {
      readonly level: number;
      readonly b: number;
      readonly h: number;
      readonly query: readonly [first: number, end: number];
      readonly key: readonly [first: number, end: number];
    }) => void,
  ): void {
    const { heads, queries, keys, queryBlock, keyBlock } = this.grid;
    const { queryBlocks, keyBlocks } = this.grid;
    this.levels.forEach((level, n) => {
      const row = Math.floor(n / keyBlocks);
      const plane = Math.floor(row / queryBlocks);
      const [q, k] = [row % queryBlocks, n % keyBlocks];
      visit({
        level,
        b: Math.floor(plane / heads),
        h: plane % heads,
        query: [q * queryBlock, Math.min((q + 1) * queryBlock, queries)],
        key: [k * keyBlock, Math.min((k + 1) * keyBlock, keys)],
      });
    });
  }

  #combine(
    other: BlockMask,
    operation: "and" | "or",
    level: (a: number, b: number) => number,
  ): BlockMask {
    checkType(
      other instanceof BlockMask,
      `${operation}() operand`,
      "must be a BlockMask",
      other,
    );
    const grid = commonGrid(this.grid, other.grid);
    const own = broadcastLevels(this.levels, this.grid, grid);
    const others = broadcastLevels(other.levels, other.grid, grid);
    return new BlockMask({
      name: `${operation}(${this.name}, ${other.name})`,
      grid,
      levels: own.map((one, i) => level(one, others[i])),
      meaning: (variables, group): Bool =>
        this.#meaning(variables, group)[operation](
          other.#meaning(variables, group),
        ),
    });
  }
}

function listsFor(levels: Uint8Array, columns: number): MaskLists {
  return {
    full: listsOf(levels, columns, FULL),
    partial: listsOf(levels, columns, PARTIAL),
  };
}

/**
 * Block masks of mask mods, of patterns and of lists.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { maskClassifier } from "../interval/interval.ts";
import { bindRows } from "../rows.ts";
import { dependsOn } from "../nodes.ts";
import { type MaskMod, modsDependOn } from "../trace.ts";
import { maskRuns } from "./runs.ts";
import { BlockMask } from "./block_mask.ts";
import {
  blockCount,
  type BlockGeometry,
  type BlockGrid,
  blockGrid,
  blockRows,
} from "./geometry.ts";
import { EMPTY, FULL, levelsOf, PARTIAL } from "./levels.ts";
import { type GivenLists, markLists } from "./lists.ts";
import { meaningOfLevels, meaningOfMods } from "./meaning.ts";

/**
 * The block mask of mask mods that must all hold, by their interval reading: no
 * queries x keys mask is formed. Its rows go by positions.
 *
 * @throws {TypeError} If `masks` are none, or depend on the sequence or head
 * where the geometry has one for all.
 * @throws {RangeError} If the geometry has a number out of range.
 *
 * @category Masks and scores
 *
 * @example A causal window in blocks of 64 x 128
 * ```ts
 * import { blockMask, causal, slidingWindow } from "@quire/attention/mods";
 *
 * const mask = blockMask([causal(), slidingWindow({ left: 255 })], {
 *   queries: 1024,
 *   keys: 1024,
 *   queryBlock: 64,
 *   keyBlock: 128,
 * });
 * const { full, partial } = mask.lists;
 * console.log(full.indices.length, partial.indices.length); // 14 28
 * ```
 */
export function blockMask(
  masks: MaskMod | readonly MaskMod[],
  geometry: BlockGeometry,
): BlockMask {
  const grid = blockGrid(geometry, "position");
  const list = [masks as MaskMod].flat();
  checkType(list.length > 0, "masks", "must be at least one", masks);
  list.forEach((mask, i) =>
    checkType(
      mask?.kind === "mask",
      list.length === 1 ? "masks" : `masks[${i}]`,
      "must be a MaskMod",
      mask,
    )
  );
  for (
    const [name, variable] of [["batch", "batch"], ["heads", "head"]] as const
  ) {
    checkType(
      grid[name] > 1 || !modsDependOn(list, variable),
      name,
      `must be given, as the mask depends on the ${variable}`,
      grid[name],
    );
  }
  return new BlockMask({
    name: list.map(({ name }) => name).join(", "),
    // What reads the query's row is right where rows and positions agree.
    grid: list.some(({ expression }) => dependsOn(expression, "row"))
      ? { ...grid, rowsBy: "both" }
      : grid,
    levels: inferredLevels(list, grid),
    meaning: meaningOfMods(list),
  });
}

/** The levels of mods by their interval reading, a row of blocks at a time. */
function inferredLevels(
  masks: readonly MaskMod[],
  grid: BlockGrid,
): Uint8Array {
  const { queries, keys, queryBlock, keyBlock, queryOffset } = grid;
  const { heads, queryBlocks, keyBlocks } = grid;
  const bound = bindRows(masks, [queryOffset]);
  const classify = maskClassifier(bound);
  const levels = new Uint8Array(blockCount(grid));
  for (let row = 0; row < blockRows(grid); row++) {
    const plane = Math.floor(row / queryBlocks);
    const [b, h] = [Math.floor(plane / heads), plane % heads];
    const first = (row % queryBlocks) * queryBlock;
    const last = Math.min(first + queryBlock, queries) - 1;
    const ranges = {
      batch: [b, b],
      head: [h, h],
      query: [first + queryOffset, last + queryOffset],
    } as const;
    const own = levels.subarray(row * keyBlocks, (row + 1) * keyBlocks);
    const runs = maskRuns(bound, {
      ...ranges,
      queryStart: ranges.query[0],
      queryEnd: ranges.query[1],
      keyLength: keys,
      tileKeys: keyBlock,
    });
    for (const { start, count, full } of runs) {
      own.fill(full ? FULL : PARTIAL, start, start + count);
    }
    // Runs never call a shorter last tile full; of a block that is what it is.
    const tail = (keyBlocks - 1) * keyBlock;
    if (
      own[keyBlocks - 1] === PARTIAL &&
      classify({ ...ranges, key: [tail, keys - 1] }) === "all"
    ) own[keyBlocks - 1] = FULL;
  }
  return levels;
}

/**
 * Which blocks a pattern keeps.
 *
 * @category Blocks
 */
export type BlockPattern =
  /** Says it of each block. */
  | ((
    head: number,
    queryBlock: number,
    keyBlock: number,
    batch: number,
  ) => boolean)
  /**
   * `[batch, heads, queryBlocks, keyBlocks]`, row-major: true or nonzero where
   * a block is kept.
   */
  | readonly boolean[]
  | Uint8Array;

/**
 * The block mask of a pattern: what is kept is kept whole.
 *
 * @throws {TypeError} If the pattern is neither a function nor an array of as
 * many elements as there are blocks.
 * @throws {RangeError} If the geometry has a number out of range.
 *
 * @category Masks and scores
 *
 * @example A butterfly: blocks whose numbers differ in one bit at most
 * ```ts
 * import { blockMaskFromPattern } from "@quire/attention/mods";
 *
 * const mask = blockMaskFromPattern((_, query, key) => {
 *   const differ = query ^ key;
 *   return (differ & (differ - 1)) === 0;
 * }, { queries: 64, keys: 64, queryBlock: 16 });
 * console.log(mask.draw().text);
 * // ███·
 * // ██·█
 * // █·██
 * // ·███
 * ```
 */
export function blockMaskFromPattern(
  pattern: BlockPattern,
  geometry: BlockGeometry,
): BlockMask {
  const grid = blockGrid(geometry);
  const levels = typeof pattern === "function"
    ? levelsOf(grid, ({ batch, head, queryBlock, keyBlock }) => {
      const kept = pattern(head, queryBlock, keyBlock, batch);
      checkType(
        typeof kept === "boolean",
        `pattern(${head}, ${queryBlock}, ${keyBlock}, ${batch})`,
        "must be a boolean",
        kept,
      );
      return kept ? FULL : EMPTY;
    })
    : patternLevels(pattern, grid);
  return new BlockMask({
    name: "pattern",
    grid,
    levels,
    meaning: meaningOfLevels(grid, levels, undefined),
  });
}

function patternLevels(
  pattern: readonly boolean[] | Uint8Array,
  grid: BlockGrid,
): Uint8Array {
  checkType(
    pattern instanceof Uint8Array || Array.isArray(pattern),
    "pattern",
    "must be a function, booleans or a Uint8Array",
    pattern,
  );
  const { batch, heads, queryBlocks, keyBlocks } = grid;
  checkType(
    pattern.length === blockCount(grid),
    "pattern.length",
    `must be batch x heads x blocks of queries x blocks of keys (${
      [batch, heads, queryBlocks, keyBlocks].join(" x ")
    })`,
    pattern.length,
  );
  return Uint8Array.from(pattern, (kept, i) => {
    checkType(
      typeof kept === "number" || typeof kept === "boolean",
      `pattern[${i}]`,
      "must be a boolean",
      kept,
    );
    return kept ? FULL : EMPTY;
  });
}

/**
 * Lists of blocks, and what is seen in the partial ones.
 *
 * @category Blocks
 */
export interface ListedBlocks {
  /** Blocks of which every pair is seen. */
  readonly full?: GivenLists;
  /** Blocks in which `maskMod` decides pair by pair. */
  readonly partial?: GivenLists;
  /** What is seen in partial blocks; full ones are full whatever it says. */
  readonly maskMod?: MaskMod;
}

/**
 * The block mask of lists, one a sequence, head and block of queries, in this
 * order: compressed rows, or an array of blocks of keys each. Blocks ascend,
 * and none is full and partial.
 *
 * @throws {TypeError} If lists are of another form or number of rows, or there
 * are partial blocks without a mask or a mask without them.
 * @throws {RangeError} If a block is out of range, not in order, there twice,
 * or in both lists.
 *
 * @category Masks and scores
 *
 * @example The block before, and the query's own causally
 * ```ts
 * import { blockMaskFromLists, causal } from "@quire/attention/mods";
 *
 * const mask = blockMaskFromLists(
 *   { full: [[], [0], [1]], partial: [[0], [1], [2]], maskMod: causal() },
 *   { queries: 48, keys: 48, queryBlock: 16 },
 * );
 * console.log(mask.draw().text);
 * // ▒··
 * // █▒·
 * // ·█▒
 * ```
 */
export function blockMaskFromLists(
  blocks: ListedBlocks,
  geometry: BlockGeometry,
): BlockMask {
  checkOptions("blockMaskFromLists()", blocks, {
    known: ["full", "partial", "maskMod"],
    hints: {
      kvIndices: "write full and partial",
      kvNumBlocks: "write full and partial",
      indices: "write full or partial: { offsets, indices }",
    },
  });
  const grid = blockGrid(geometry);
  const { full, partial, maskMod: inner } = blocks;
  checkType(
    full !== undefined || partial !== undefined,
    "full",
    "must be given, or partial",
    full,
  );
  checkType(
    (partial === undefined) === (inner === undefined),
    "maskMod",
    partial === undefined
      ? "must be given with partial blocks, in which it decides"
      : "must be given, as it decides in partial blocks; blocks that are seen whole are full",
    inner,
  );
  checkType(
    inner === undefined || inner.kind === "mask",
    "maskMod",
    "must be a MaskMod",
    inner,
  );
  const levels = new Uint8Array(blockCount(grid));
  if (full !== undefined) {
    markLists(levels, grid, { name: "full", lists: full, level: FULL });
  }
  if (partial !== undefined) {
    markLists(levels, grid, {
      name: "partial",
      lists: partial,
      level: PARTIAL,
    });
  }
  return new BlockMask({
    name: inner ? `lists(${inner.name})` : "lists",
    grid,
    levels,
    meaning: meaningOfLevels(grid, levels, inner),
  });
}

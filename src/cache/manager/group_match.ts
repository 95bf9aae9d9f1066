/**
 * Prefix hits over several groups of layers, each with a window of its own.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { NULL_BLOCK } from "../block/block_pool.ts";
import type { BlockCopy } from "../block/table_types.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { PrefixIndex } from "../prefix/prefix_index.ts";

/**
 * Layers that see the same keys, and so share block tables.
 *
 * @category Cache
 */
export interface LayerGroup {
  /**
   * Keys to the left that a query sees besides its own: a sliding window.
   * Unbounded by default.
   */
  readonly left?: number;
}

/** The cached start of a sequence in every group. */
export interface GroupMatch {
  /** Blocks of each group; null blocks where its window does not reach. */
  readonly blocks: readonly (readonly number[])[];
  /** For each group the block to copy `rows` from; empty if `rows` is 0. */
  readonly sources: readonly number[];
  /** Rows of a partial block that every group has. */
  readonly rows: number;
}

/** A match of nothing. */
export function emptyMatch(groups: readonly LayerGroup[]): GroupMatch {
  return { blocks: groups.map(() => []), sources: [], rows: 0 };
}

/**
 * Throws unless there is a group and each has a valid window.
 */
export function checkGroups(groups: readonly LayerGroup[]): void {
  checkType(Array.isArray(groups), "groups", "must be an array", groups);
  checkRange(groups.length > 0, "groups", "must not be empty", groups);
  groups.forEach(({ left }, i) => {
    if (left !== undefined) checkInteger(`groups[${i}].left`, left, 0);
  });
}

/** The first position that a group's query at `length` sees. */
export function firstSeen({ left }: LayerGroup, length: number): number {
  return left === undefined ? 0 : Math.max(0, length - left);
}

/** How many blocks in a row are cached up to each, it included. */
function runs(blocks: readonly number[]): number[] {
  let run = 0;
  return blocks.map((id) => run = id === NULL_BLOCK ? 0 : run + 1);
}

/**
 * Finds the longest start of `tokens` that every group can go on from: all of
 * its blocks, or those that its window still reaches.
 */
export function matchGroups(
  index: PrefixIndex,
  groups: readonly LayerGroup[],
  { tokens, domain }: { tokens: readonly number[]; domain: PrefixDomain },
): GroupMatch {
  const { blockSize } = index.pool;
  const walks = groups.map((_, group) =>
    index.walk(tokens, { ...domain, group })
  );
  const limit = Math.max(0, tokens.length - 1);
  const reach = walks.map(runs);
  const fits = (depth: number) =>
    groups.every((group, i) => {
      const first = Math.floor(firstSeen(group, depth * blockSize) / blockSize);
      return first === depth || (reach[i][depth - 1] ?? 0) >= depth - first;
    });
  let depth = Math.floor(limit / blockSize);
  while (depth > 0 && !fits(depth)) depth--;
  const partials = groups.map((_, group) =>
    index.partial(tokens.slice(0, limit), depth, { ...domain, group })
  );
  const rows = Math.min(...partials.map((partial) => partial.rows));
  return {
    blocks: groups.map((group, i) => {
      const first = Math.floor(firstSeen(group, depth * blockSize) / blockSize);
      const unseen = new Array<number>(first).fill(NULL_BLOCK);
      return [...unseen, ...walks[i].slice(first, depth)];
    }),
    sources: rows === 0 ? [] : partials.map(({ source }) => source),
    rows,
  };
}

/**
 * A copy between two blocks of one layer group.
 *
 * @category Cache
 */
export interface GroupCopy extends BlockCopy {
  /** The layer group whose keys and values are copied. */
  readonly group: number;
}

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
 * Layers that see the same keys, and so share block tables; or recurrent layers,
 * which keep one state of all tokens so far.
 *
 * @category Cache
 */
export interface LayerGroup {
  /**
   * What the layers keep of a sequence: keys and values, or a state. Defaults to
   * `"attention"`.
   */
  readonly kind?: "attention" | "state";
  /**
   * Keys to the left that a query sees besides its own: a sliding window.
   * Unbounded by default; a state has none.
   */
  readonly left?: number;
}

/** The cached start of a sequence in every group. */
export interface GroupMatch {
  /** Full blocks that are matched. */
  readonly depth: number;
  /** Full blocks that are cached, or known where there are only states. */
  readonly shared: number;
  /** Blocks of each group; null blocks where its window does not reach. */
  readonly blocks: readonly (readonly number[])[];
  /** For each group the block to copy `rows` from; empty if `rows` is 0. */
  readonly sources: readonly number[];
  /** Rows of a partial block that every group has. */
  readonly rows: number;
  /** The slot of each group of states; the null state if `depth` is 0. */
  readonly slots: readonly number[];
}

/**
 * Throws unless there is a group, each has a valid window, and those of states
 * are the last.
 */
export function checkGroups(groups: readonly LayerGroup[]): void {
  checkType(Array.isArray(groups), "groups", "must be an array", groups);
  checkRange(groups.length > 0, "groups", "must not be empty", groups);
  groups.forEach(({ kind = "attention", left }, i) => {
    checkType(
      kind === "attention" || kind === "state",
      `groups[${i}].kind`,
      'must be "attention" or "state"',
      kind,
    );
    if (left !== undefined) checkInteger(`groups[${i}].left`, left, 0);
    checkType(
      kind === "attention" || left === undefined,
      `groups[${i}].left`,
      "must not be set, as a state has no window",
      left,
    );
    checkRange(
      i === 0 || kind === "state" || groups[i - 1].kind !== "state",
      `groups[${i}].kind`,
      'must be "state", as groups of states come last',
      kind,
    );
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

/** Where the start of a sequence is looked up. */
export interface MatchSources {
  /** The index of the blocks; without one nothing is found of them. */
  readonly index: PrefixIndex | undefined;
  /** The groups that have blocks. */
  readonly groups: readonly LayerGroup[];
  /** For each group of states, the slot at the end of each known block. */
  readonly walks: readonly (readonly number[])[];
  /** Tokens per block. */
  readonly blockSize: number;
}

/**
 * Finds the longest start of `tokens` that every group can go on from: all of
 * its blocks, or those that its window still reaches; of states the one there.
 */
export function matchGroups(
  { index, groups, walks, blockSize }: MatchSources,
  { tokens, domain }: { tokens: readonly number[]; domain: PrefixDomain },
): GroupMatch {
  const keys = groups.map((_, group) =>
    index?.walk(tokens, { ...domain, group }) ?? []
  );
  const limit = Math.max(0, tokens.length - 1);
  const reach = keys.map(runs);
  const fits = (depth: number) =>
    groups.every((group, i) => {
      const first = Math.floor(firstSeen(group, depth * blockSize) / blockSize);
      return first === depth || (reach[i][depth - 1] ?? 0) >= depth - first;
    });
  const known = groups.length === 0
    ? walks.map(({ length }) => length)
    : index === undefined
    ? [0]
    : [];
  let shared = Math.min(Math.floor(limit / blockSize), ...known);
  while (shared > 0 && !fits(shared)) shared--;
  const goesOn = (depth: number) =>
    walks.every((walk) => (walk[depth - 1] ?? NULL_BLOCK) !== NULL_BLOCK);
  let depth = shared;
  while (depth > 0 && !(fits(depth) && goesOn(depth))) depth--;
  // Part of a block has no state.
  const partials = index === undefined || walks.length > 0
    ? []
    : groups.map((_, group) =>
      index.partial(tokens.slice(0, limit), depth, { ...domain, group })
    );
  const rows = partials.length === 0
    ? 0
    : Math.min(...partials.map((partial) => partial.rows));
  return {
    depth,
    shared,
    blocks: groups.map((group, i) => {
      const first = Math.floor(firstSeen(group, depth * blockSize) / blockSize);
      const unseen = new Array<number>(first).fill(NULL_BLOCK);
      return [...unseen, ...keys[i].slice(first, depth)];
    }),
    sources: rows === 0 ? [] : partials.map(({ source }) => source),
    rows,
    slots: walks.map((walk) => depth === 0 ? NULL_BLOCK : walk[depth - 1]),
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

/**
 * A block mask of logical keys, in the physical blocks of a cache.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { BlockMask, MaskLists } from "./block_mask.ts";
import type { BlockLists } from "./lists.ts";

/**
 * Where the keys' blocks are.
 *
 * @category Blocks
 */
export interface ThroughTableOptions {
  /** `[sequences, maxBlocks]` block ids, row-major, as `attention()` takes it. */
  readonly blockTable: Uint32Array;
  /** Tokens of a block of the cache: a divisor of the mask's `keyBlock`. */
  readonly blockSize: number;
  /** Sequences of the table; the mask's own by default. */
  readonly sequences?: number;
}

/**
 * The lists of a block mask in physical blocks: for each sequence, head and
 * block of queries the blocks of a cache that it sees, in the order of their
 * keys. Where the mask is one for all sequences, each has its own lists: their
 * blocks differ. What moves or fetches blocks ahead of attention reads these;
 * `attention()` itself takes the mask as it is.
 *
 * @throws {TypeError} If the table does not fit the sequences.
 * @throws {RangeError} If the block size does not divide the mask's, or the
 * table has not enough blocks for the keys.
 *
 * @example Two blocks of 16 keys, anywhere in a cache
 * ```ts
 * import { blockMaskFromLists, throughTable } from "@quire/attention/mods";
 *
 * const mask = blockMaskFromLists(
 *   { full: [[0], [0, 1]] },
 *   { queries: 32, keys: 32, queryBlock: 16 },
 * );
 * const { full } = throughTable(mask, {
 *   blockTable: Uint32Array.of(7, 3),
 *   blockSize: 16,
 * });
 * console.log([...full.indices]); // [7, 7, 3]
 * ```
 *
 * @category Blocks
 */
export function throughTable(
  mask: BlockMask,
  options: ThroughTableOptions,
): MaskLists {
  checkOptions("throughTable()", options, {
    known: ["blockTable", "blockSize", "sequences"],
    hints: { pageSize: "write blockSize", pageTable: "write blockTable" },
  });
  const { grid } = mask;
  const { blockTable, blockSize, sequences = grid.batch } = options;
  checkType(
    blockTable instanceof Uint32Array,
    "blockTable",
    "must be a Uint32Array",
    blockTable,
  );
  checkInteger("blockSize", blockSize, 1);
  checkInteger("sequences", sequences, 1);
  checkRange(
    grid.keyBlock % blockSize === 0,
    "blockSize",
    `must divide the block mask's keyBlock (${grid.keyBlock})`,
    blockSize,
  );
  checkType(
    grid.batch === 1 || grid.batch === sequences,
    "sequences",
    `must be the block mask's batch (${grid.batch})`,
    sequences,
  );
  const width = blockTable.length / sequences;
  const needed = Math.ceil(grid.keys / blockSize);
  checkType(
    Number.isInteger(width),
    "blockTable.length",
    `must be a multiple of the sequences (${sequences})`,
    blockTable.length,
  );
  checkRange(
    width >= needed,
    "blockTable",
    `must have ${needed} blocks of ${blockSize} for each sequence's ${grid.keys} keys`,
    width,
  );
  const { full, partial } = mask.lists;
  const convert = (lists: BlockLists) =>
    physical(lists, {
      rows: grid.heads * grid.queryBlocks,
      shared: grid.batch === 1,
      sequences,
      each: grid.keyBlock / blockSize,
      needed,
      block: (sequence, logical) => blockTable[sequence * width + logical],
    });
  return { full: convert(full), partial: convert(partial) };
}

function physical(
  { offsets, indices }: BlockLists,
  { rows, shared, sequences, each, needed, block }: {
    /** Rows of a sequence. */
    readonly rows: number;
    readonly shared: boolean;
    readonly sequences: number;
    /** Blocks of the cache in one of the mask. */
    readonly each: number;
    /** Blocks that have keys. */
    readonly needed: number;
    readonly block: (sequence: number, logical: number) => number;
  },
): BlockLists {
  const ends = new Uint32Array(sequences * rows + 1);
  const found: number[] = [];
  for (let sequence = 0; sequence < sequences; sequence++) {
    for (let row = 0; row < rows; row++) {
      const from = shared ? row : sequence * rows + row;
      for (let i = offsets[from]; i < offsets[from + 1]; i++) {
        const end = Math.min((indices[i] + 1) * each, needed);
        for (let at = indices[i] * each; at < end; at++) {
          found.push(block(sequence, at));
        }
      }
      ends[sequence * rows + row + 1] = found.length;
    }
  }
  return { offsets: ends, indices: Uint32Array.from(found) };
}

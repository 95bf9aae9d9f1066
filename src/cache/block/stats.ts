/**
 * What paging and sharing save, counted.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";

/**
 * Memory taken for a set of sequences.
 *
 * @category Cache
 */
export interface Footprint {
  /** Token slots taken. */
  readonly slots: number;
  /** The same in blocks, rounded up for each sequence. */
  readonly blocks: number;
}

/**
 * Memory that each policy takes for the same sequences, none shared.
 *
 * @category Cache
 */
export interface Footprints {
  /** Tokens written: the slots that hold something. */
  readonly tokens: number;
  /** Paged: whole blocks as they are needed. */
  readonly paged: Footprint;
  /** Contiguous, every sequence reserving the longest allowed length. */
  readonly max: Footprint;
  /** Contiguous, each the next power of two, at most `maxLength`. */
  readonly pow2: Footprint;
  /** Contiguous, each exactly its final length, known by an oracle. */
  readonly exact: Footprint;
}

/**
 * What {@linkcode footprints} counts.
 *
 * @category Cache
 */
export interface FootprintOptions {
  /** Final length of each sequence, in tokens. */
  readonly lengths: readonly number[];
  /** Tokens per block. */
  readonly blockSize: number;
  /** The longest length that a sequence may reach. */
  readonly maxLength: number;
}

/**
 * How much of a set of block tables is shared.
 *
 * @category Cache
 */
export interface Sharing {
  /** Table entries: blocks as if nothing were shared. */
  readonly logicalBlocks: number;
  /** Different blocks: what is really taken. */
  readonly uniqueBlocks: number;
  /** Different blocks that more than one table entry names. */
  readonly sharedBlocks: number;
  /** Fraction saved, `1 - uniqueBlocks / logicalBlocks`; 0 for no blocks. */
  readonly saved: number;
}

/** The least power of two that is at least `length`; 0 for 0. */
function nextPowerOfTwo(length: number): number {
  let power = length === 0 ? 0 : 1;
  while (power < length) power *= 2;
  return power;
}

function footprint(slots: readonly number[], blockSize: number): Footprint {
  return {
    slots: slots.reduce((sum, n) => sum + n, 0),
    blocks: slots.reduce((sum, n) => sum + Math.ceil(n / blockSize), 0),
  };
}

/**
 * Compares paging with the per-sequence reservations of contiguous caches
 * (Kwon et al. 2023, section 2 and figure 2: Max, Pow2 and Oracle), leaving
 * out what a contiguous allocator loses to external fragmentation.
 *
 * @throws {TypeError} if a size is not a number.
 * @throws {RangeError} if one is not an integer in its range, or a length is
 * more than `maxLength`.
 *
 * @example
 * ```ts
 * import { footprints } from "@quire/attention/cache";
 *
 * const { paged, max } = footprints({
 *   lengths: [5, 20],
 *   blockSize: 16,
 *   maxLength: 64,
 * });
 * paged.blocks; // 3
 * max.blocks; // 8
 * ```
 *
 * @category Cache
 */
export function footprints(options: FootprintOptions): Footprints {
  const { lengths, blockSize, maxLength } = options;
  checkInteger("blockSize", blockSize, 1);
  checkInteger("maxLength", maxLength, 0);
  lengths.forEach((length, i) => {
    checkInteger(`lengths[${i}]`, length, 0);
    checkRange(
      length <= maxLength,
      `lengths[${i}]`,
      `must be at most maxLength, ${maxLength}`,
      length,
    );
  });
  const count = (slotsOf: (length: number) => number) =>
    footprint(lengths.map(slotsOf), blockSize);
  const exact = count((n) => n);
  return {
    tokens: exact.slots,
    paged: count((n) => Math.ceil(n / blockSize) * blockSize),
    max: count(() => maxLength),
    pow2: count((n) => Math.min(nextPowerOfTwo(n), maxLength)),
    exact,
  };
}

/**
 * Counts the blocks that tables share.
 *
 * @param tables The block ids of each table, as `BlockTable.blocks` gives them.
 *
 * @example A prompt and a fork of it
 * ```ts
 * import { BlockPool, BlockTable, sharing } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 16 });
 * const prompt = new BlockTable(pool);
 * prompt.reserve(64);
 * const fork = prompt.fork();
 * const { logicalBlocks, uniqueBlocks, saved } = sharing([
 *   prompt.blocks,
 *   fork.blocks,
 * ]);
 * assertEquals([logicalBlocks, uniqueBlocks, saved], [8, 4, 0.5]);
 * ```
 *
 * @category Cache
 */
export function sharing(tables: Iterable<readonly number[]>): Sharing {
  const holders = new Map<number, number>();
  let logicalBlocks = 0;
  for (const blocks of tables) {
    logicalBlocks += blocks.length;
    for (const id of blocks) holders.set(id, (holders.get(id) ?? 0) + 1);
  }
  let sharedBlocks = 0;
  for (const count of holders.values()) sharedBlocks += count > 1 ? 1 : 0;
  const uniqueBlocks = holders.size;
  const saved = logicalBlocks === 0 ? 0 : 1 - uniqueBlocks / logicalBlocks;
  return { logicalBlocks, uniqueBlocks, sharedBlocks, saved };
}

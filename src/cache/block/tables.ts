/**
 * Block tables of a batch, in the form that kernels read.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { NULL_BLOCK } from "./block_pool.ts";
import { BlockTable } from "./block_table.ts";

/**
 * The tables of a batch of sequences, padded to one width.
 *
 * @category Cache
 */
export interface PackedTables {
  /** `[sequences, maxBlocks]`: block ids, the null block past each end. */
  readonly blockTable: Uint32Array;
  /** `[sequences]`: tokens that have a slot. */
  readonly lengths: Uint32Array;
  /** Rows of `blockTable`. */
  readonly sequences: number;
  /** Columns of `blockTable`. */
  readonly maxBlocks: number;
}

/**
 * How {@linkcode packTables} lays the tables out.
 *
 * @category Cache
 */
export interface PackTablesOptions {
  /** Columns. Defaults to the blocks of the longest table. */
  readonly maxBlocks?: number;
}

function checkTables(tables: readonly BlockTable[]): void {
  checkType(Array.isArray(tables), "tables", "must be an array", tables);
  tables.forEach((table, i) => {
    const name = `tables[${i}]`;
    checkType(
      table instanceof BlockTable,
      name,
      "must be a BlockTable",
      table,
    );
    checkType(
      table.pool === tables[0].pool,
      name,
      "must be of the same pool as tables[0]",
      table,
    );
  });
}

/**
 * Packs the tables of a batch into one `u32[sequences, maxBlocks]` array,
 * padded with the null block, with their lengths beside it.
 *
 * @throws {TypeError} if `tables` is not an array of live tables of one pool,
 * or `maxBlocks` is not a number.
 * @throws {RangeError} if `maxBlocks` is not an integer >= 0 or is less than a
 * table's blocks, or the packed array has more than `2**32 - 1` entries.
 *
 * @example
 * ```ts
 * import { BlockPool, BlockTable, packTables } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 4 });
 * const [a, b] = [new BlockTable(pool), new BlockTable(pool)];
 * a.reserve(6);
 * b.reserve(1);
 * packTables([a, b]); // blockTable [1, 2, 3, 0], lengths [6, 1]
 * ```
 *
 * @category Cache
 */
export function packTables(
  tables: readonly BlockTable[],
  options: PackTablesOptions = {},
): PackedTables {
  checkTables(tables);
  const rows = tables.map((table) => table.blocks);
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const { maxBlocks = longest } = options;
  checkInteger("maxBlocks", maxBlocks, 0);
  checkRange(
    maxBlocks >= longest,
    "maxBlocks",
    `must be at least the ${longest} blocks of the longest table`,
    maxBlocks,
  );
  const sequences = tables.length;
  checkRange(
    sequences * maxBlocks < 2 ** 32,
    "tables.length * maxBlocks",
    "must be less than 2**32",
    sequences * maxBlocks,
  );
  const blockTable = new Uint32Array(sequences * maxBlocks).fill(NULL_BLOCK);
  rows.forEach((row, i) => blockTable.set(row, i * maxBlocks));
  const lengths = Uint32Array.from(tables, (table) => table.length);
  return { blockTable, lengths, sequences, maxBlocks };
}

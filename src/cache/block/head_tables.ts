/**
 * Block tables of their own for every head, where the heads of one sequence
 * hold different keys.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import type { BlockTable } from "./block_table.ts";
import {
  type PackedTables,
  packTables,
  type PackTablesOptions,
} from "./tables.ts";

/**
 * The tables of a batch of sequences with one for each key/value head.
 *
 * @category Cache
 */
export interface PackedHeadTables extends Omit<PackedTables, "sequences"> {
  /** Sequences; `blockTable` has `sequences * heads` rows. */
  readonly sequences: number;
  /** Key/value heads. */
  readonly heads: number;
}

/**
 * Packs a table for each head of each sequence into one
 * `u32[sequences, heads, maxBlocks]` array, with `u32[sequences, heads]`
 * lengths beside it. Policies that drop keys head by head need it
 * (RazorAttention, Tang et al. 2024).
 *
 * The addressing is that of {@linkcode packTables} with one more row index: a
 * block then holds rows of one head, `[numBlocks, blockSize, 1, headDim]`, and
 * key `j` of head `h` of sequence `b` lies in slot
 * `blockTable[b, h, j div blockSize] * blockSize + j mod blockSize`. A kernel
 * for shared tables reads it unchanged as a batch of `sequences * heads`
 * sequences with one key/value head. All heads draw on one pool.
 *
 * @param tables `[sequences][heads]`, as many heads for each sequence.
 * @throws {TypeError} if `tables` is not such an array of live tables of one
 * pool.
 * @throws {RangeError} if sequences have different numbers of heads, or as
 * {@linkcode packTables} does.
 *
 * @example
 * ```ts
 * import { BlockPool, BlockTable, packHeadTables } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 4 });
 * const [all, recent] = [new BlockTable(pool), new BlockTable(pool)];
 * all.reserve(6);
 * recent.reserve(2);
 * packHeadTables([[all, recent]]); // blockTable [1, 2, 3, 0], lengths [6, 2]
 * ```
 *
 * @category Cache
 */
export function packHeadTables(
  tables: readonly (readonly BlockTable[])[],
  options: PackTablesOptions = {},
): PackedHeadTables {
  checkType(Array.isArray(tables), "tables", "must be an array", tables);
  const heads = tables[0]?.length ?? 0;
  tables.forEach((row, i) => {
    checkType(Array.isArray(row), `tables[${i}]`, "must be an array", row);
    checkRange(
      row.length === heads,
      `tables[${i}].length`,
      `must be that of tables[0], ${heads}`,
      row.length,
    );
  });
  const packed = packTables(tables.flat(), options);
  return { ...packed, sequences: tables.length, heads };
}

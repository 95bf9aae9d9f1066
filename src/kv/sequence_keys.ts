/**
 * Where the rows of sequences are in a cache, in the way that kernels are told.
 *
 * @module
 */

import { BlockTable } from "../cache/block/block_table.ts";
import { packTables } from "../cache/block/tables.ts";
import { ContiguousSequence } from "../cache/extent/contiguous_sequence.ts";
import { CacheSequence } from "../cache/manager/cache_sequence.ts";
import { checkInteger, checkType } from "../core/check.ts";

/**
 * Sequences that have a row each in a block table.
 *
 * @category Cache
 */
export interface TableKeys {
  /** Tells the two apart. */
  readonly kind: "paged";
  /** `[sequences, tableWidth]` block ids. */
  readonly blockTable: Uint32Array;
  /** Columns of the table. */
  readonly tableWidth: number;
  /** Tokens of each sequence that have a slot. */
  readonly lengths: readonly number[];
}

/**
 * Sequences that lie in order, each from a token of the arena on.
 *
 * @category Cache
 */
export interface ExtentKeys {
  /** Tells the two apart. */
  readonly kind: "contiguous";
  /** The first token of each sequence. */
  readonly starts: readonly number[];
  /** Tokens of each sequence that have a slot. */
  readonly lengths: readonly number[];
}

/** The tables of a paged cache's sequences, a manager's or its own. */
export function tableKeys(
  cache: { readonly pool: unknown },
  sequences: readonly unknown[],
  group: number,
): TableKeys {
  const tables = sequences.map((sequence, i) =>
    tableOf(cache, sequence, { name: `sequences[${i}]`, group })
  );
  const { blockTable, maxBlocks } = packTables(tables);
  return {
    kind: "paged",
    blockTable,
    tableWidth: maxBlocks,
    lengths: tables.map(({ length }) => length),
  };
}

/** The extents of a contiguous cache's sequences. */
export function extentKeys(
  cache: { readonly pool: unknown },
  sequences: readonly unknown[],
): ExtentKeys {
  const extents = sequences.map((sequence, i) =>
    ownSequence(cache, sequence, {
      name: `sequences[${i}]`,
      type: ContiguousSequence,
    })
  );
  return {
    kind: "contiguous",
    starts: extents.map(({ start }) => start),
    lengths: extents.map(({ length }) => length),
  };
}

/**
 * The table of a paged cache's sequence, a manager's or its own.
 *
 * @throws {TypeError} if it is not a sequence of the cache, or is not running
 * @throws {RangeError} if there is no such layer group
 */
export function tableOf(
  cache: { readonly pool: unknown },
  sequence: unknown,
  { name, group }: { readonly name: string; readonly group: number },
): BlockTable {
  if (!(sequence instanceof CacheSequence)) {
    return ownSequence(cache, sequence, { name, type: BlockTable });
  }
  ownSequence(cache, sequence, { name, type: CacheSequence });
  const { status, tables } = sequence;
  checkType(
    status === "running",
    `${name}.status`,
    "must be running, with its blocks on the device",
    status,
  );
  checkInteger("group", group, 0, tables.length - 1);
  return tables[group];
}

/** A sequence as one of a cache; throws a `TypeError` unless it is. */
export function ownSequence<S extends { readonly pool: unknown }>(
  cache: { readonly pool: unknown },
  sequence: unknown,
  { name, type }: {
    readonly name: string;
    readonly type: abstract new (...args: never[]) => S;
  },
): S {
  checkType(
    sequence instanceof type && sequence.pool === cache.pool,
    name,
    "must be a sequence of the cache",
    sequence,
  );
  return sequence;
}

/**
 * What a block mask covers, and in blocks of which sizes.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

const MAX = 2 ** 31 - 1;

/** Blocks of a mask at most: a byte each. */
const MOST_BLOCKS = 2 ** 28;

/**
 * What a block mask covers: the pairs of a problem, in blocks.
 *
 * @category Blocks
 */
export interface BlockGeometry {
  /** Queries of a sequence; of the longest, where they differ. */
  readonly queries: number;
  /** Keys of a sequence; of the longest, where they differ. */
  readonly keys: number;
  /** Queries of a block; 128 by default. */
  readonly queryBlock?: number | undefined;
  /** Keys of a block; as many as queries by default. */
  readonly keyBlock?: number | undefined;
  /** Sequences; 1 (default): the mask is the same for all. */
  readonly batch?: number | undefined;
  /**
   * Query heads; 1 (default): the mask is the same for all. A divisor of them,
   * as the number of kv heads: each is for as many neighbouring query heads.
   */
  readonly heads?: number | undefined;
  /**
   * The position of query 0 in the keys' coordinate: `keys - queries` by
   * default, as that of `attention()`. Where it is given, rows of blocks go by
   * positions: chunks of a prompt and single queries find theirs.
   */
  readonly queryOffset?: number | undefined;
}

/**
 * What decides in which row of blocks a query is: its index in its sequence,
 * its position, or both, which must then agree.
 *
 * @category Blocks
 */
export type RowsBy = "query" | "position" | "both";

/**
 * A checked geometry, with its defaults and numbers of blocks.
 *
 * @category Blocks
 */
export interface BlockGrid extends Required<BlockGeometry> {
  /** Queries of a block. */
  readonly queryBlock: number;
  /** Keys of a block. */
  readonly keyBlock: number;
  /** Sequences, or 1 for all. */
  readonly batch: number;
  /** Heads, or 1 for all. */
  readonly heads: number;
  /** The position of query 0. */
  readonly queryOffset: number;
  /** What decides in which row a query is. */
  readonly rowsBy: RowsBy;
  /** Blocks of queries: the last may be shorter. */
  readonly queryBlocks: number;
  /** Blocks of keys: the last may be shorter. */
  readonly keyBlocks: number;
}

const KNOWN: readonly string[] = [
  "queries",
  "keys",
  "queryBlock",
  "keyBlock",
  "batch",
  "heads",
  "queryOffset",
];

const HINTS = {
  qLen: "write queries",
  kvLen: "write keys",
  blockSize: "write queryBlock and keyBlock",
  qBlockSize: "write queryBlock",
  kvBlockSize: "write keyBlock",
  B: "write batch",
  H: "write heads",
  kvHeads: "write heads",
};

/**
 * Checks a geometry.
 *
 * @throws {TypeError} For an option that is none, or no number.
 * @throws {RangeError} For a number out of range, and more than 2^28 blocks.
 */
export function blockGrid(
  geometry: BlockGeometry,
  rowsBy: RowsBy = geometry?.queryOffset === undefined ? "query" : "position",
): BlockGrid {
  checkOptions("a block mask's geometry", geometry, {
    known: KNOWN,
    hints: HINTS,
  });
  const { queries, keys, queryBlock = 128, batch = 1, heads = 1 } = geometry;
  const { keyBlock = queryBlock } = geometry;
  checkInteger("queries", queries, 1, MAX);
  checkInteger("keys", keys, 1, MAX);
  checkInteger("queryBlock", queryBlock, 1, MAX);
  checkInteger("keyBlock", keyBlock, 1, MAX);
  checkInteger("batch", batch, 1, MAX);
  checkInteger("heads", heads, 1, MAX);
  const { queryOffset = keys - queries } = geometry;
  checkInteger("queryOffset", queryOffset, -MAX, MAX - queries);
  const queryBlocks = Math.ceil(queries / queryBlock);
  const keyBlocks = Math.ceil(keys / keyBlock);
  const blocks = batch * heads * queryBlocks * keyBlocks;
  checkRange(
    blocks <= MOST_BLOCKS,
    "queryBlock and keyBlock",
    `must make at most ${MOST_BLOCKS} blocks (${blocks} here): take larger ones`,
    [queryBlock, keyBlock],
  );
  return {
    queries,
    keys,
    queryBlock,
    keyBlock,
    batch,
    heads,
    queryOffset,
    rowsBy,
    queryBlocks,
    keyBlocks,
  };
}

/** Rows of blocks: one a sequence, head and block of queries, in this order. */
export function blockRows(
  { batch, heads, queryBlocks }: BlockGrid,
): number {
  return batch * heads * queryBlocks;
}

/** How many blocks there are. */
export function blockCount(grid: BlockGrid): number {
  return blockRows(grid) * grid.keyBlocks;
}

/**
 * The geometry of two masks that are combined: where one is for all sequences
 * or heads, the other's.
 *
 * @throws {TypeError} If they do not cover the same pairs in the same blocks.
 */
export function commonGrid(a: BlockGrid, b: BlockGrid): BlockGrid {
  for (
    const name of [
      "queries",
      "keys",
      "queryBlock",
      "keyBlock",
      "queryOffset",
    ] as const
  ) {
    checkType(
      a[name] === b[name],
      name,
      `must be the other block mask's (${a[name]})`,
      b[name],
    );
  }
  for (const name of ["batch", "heads"] as const) {
    checkType(
      a[name] === b[name] || a[name] === 1 || b[name] === 1,
      name,
      `must be the other block mask's (${a[name]}) or 1`,
      b[name],
    );
  }
  return {
    ...a,
    batch: Math.max(a.batch, b.batch),
    heads: Math.max(a.heads, b.heads),
    rowsBy: a.rowsBy === b.rowsBy ? a.rowsBy : "both",
  };
}

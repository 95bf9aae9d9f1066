/**
 * The sizes of a problem whose cost is asked for, with their defaults.
 *
 * @module
 */

import { checkBoolean, checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions, type OptionHints } from "../../core/options.ts";

/**
 * Sizes of a dense problem.
 *
 * @category Planning
 */
export interface AttentionSizes {
  /** Sequences; default 1. */
  readonly batch?: number;
  /** N: queries of a sequence. */
  readonly queries: number;
  /** S: keys of a sequence. */
  readonly keys: number;
  /** Query heads; default 1. */
  readonly queryHeads?: number;
  /** Key and value heads, a divisor of the query heads; default as many. */
  readonly kvHeads?: number;
  /** d: elements of a query or key row. */
  readonly headDim: number;
  /** e: elements of a value or output row; default d. */
  readonly valueHeadDim?: number;
  /** Whether the log-sum-exp is written; default true, as backward needs it. */
  readonly lse?: boolean;
}

/** Sizes without gaps; rows are packed over the heads that share a kv head. */
export interface PackedSizes {
  /** Sequences. */
  readonly batch: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** R: packed rows of a kv head, queries x (query heads / kv heads). */
  readonly rows: number;
  /** S: keys. */
  readonly keys: number;
  /** d: elements of a query or key row. */
  readonly headDim: number;
  /** e: elements of a value or output row. */
  readonly valueHeadDim: number;
  /** Whether the log-sum-exp is written. */
  readonly lse: boolean;
}

const KNOWN: readonly (keyof AttentionSizes)[] = [
  "batch",
  "queries",
  "keys",
  "queryHeads",
  "kvHeads",
  "headDim",
  "valueHeadDim",
  "lse",
];

const HINTS: OptionHints = {
  queryLength: "write queries",
  keyLength: "write keys",
  sequenceLength: "write queries and keys",
  heads: "write queryHeads",
  returnLse: "write lse",
  dim: "write headDim",
};

/**
 * Checks sizes and fills in their defaults.
 *
 * @throws {TypeError} if one is unknown or no number
 * @throws {RangeError} if one is out of range, or the heads do not divide
 */
export function packedSizes(sizes: AttentionSizes): PackedSizes {
  checkOptions("sizes", sizes, { known: KNOWN, hints: HINTS });
  const { batch = 1, queries, keys, queryHeads = 1 } = sizes;
  const { kvHeads = queryHeads, headDim, valueHeadDim = headDim } = sizes;
  checkInteger("sizes.batch", batch, 0);
  checkInteger("sizes.queries", queries, 0);
  checkInteger("sizes.keys", keys, 0);
  checkInteger("sizes.queryHeads", queryHeads, 1);
  checkInteger("sizes.kvHeads", kvHeads, 1);
  checkInteger("sizes.headDim", headDim, 1);
  checkInteger("sizes.valueHeadDim", valueHeadDim, 1);
  checkBoolean("sizes.lse", sizes.lse);
  checkRange(
    queryHeads % kvHeads === 0,
    "sizes.queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  return {
    batch,
    kvHeads,
    rows: queries * (queryHeads / kvHeads),
    keys,
    headDim,
    valueHeadDim,
    lse: sizes.lse ?? true,
  };
}

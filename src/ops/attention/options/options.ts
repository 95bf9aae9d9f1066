/**
 * The options of `attention()`, and how they become a problem: every check of
 * types, shapes and ranges is here, before anything touches the device.
 *
 * @module
 */

import type {
  BlockTable,
  CacheSequence,
  ContiguousSequence,
} from "../../../cache/mod.ts";
import type { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import type { GpuTensor } from "../../../gpu/mod.ts";
import type { MaskMod, ScoreMod } from "../../../mods/mod.ts";
import {
  type AnyTensor,
  describeTensor,
  type HostTensor,
} from "../../tensors.ts";
import { maskMods, scoreMods } from "./option_mods.ts";
import type { AttentionProblem } from "../problem.ts";
import { keySource } from "./sources.ts";
import { checkIndices, type Indices, querySpans } from "./spans.ts";

/** What attention computes; `T` is where its tensors are. */
export interface AttentionOptions<T = GpuTensor | HostTensor> {
  /**
   * `[batch, queries, queryHeads, headDim]`, or ragged
   * `[tokens, queryHeads, headDim]` with `cuSeqlens`.
   */
  readonly query: T;
  /**
   * `[batch, keys, kvHeads, headDim]`, ragged `[tokens, kvHeads, headDim]`, or
   * with `blockTable` `[numBlocks, blockSize, kvHeads, headDim]`. Not with
   * `cache`.
   */
  readonly key?: T;
  /** Like `key`, but the last dimension may differ. */
  readonly value?: T;
  /** Ragged queries: first token of each sequence, and the total at the end. */
  readonly cuSeqlens?: Indices;
  /** Ragged keys; `cuSeqlens` by default. */
  readonly cuSeqlensKey?: Indices;
  /** Written keys of each sequence; what lies past them is never read. */
  readonly keyLengths?: Indices;
  /** Paged: `[sequences, maxBlocks]` block ids, row-major. */
  readonly blockTable?: Uint32Array;
  /** A cache of ours, instead of `key`, `value` and `blockTable`. */
  readonly cache?: KvCache | ContiguousCache;
  /**
   * The cache's sequences, one a batch entry: those that it made, or those of
   * a `CacheManager` over its pool, which a `Scheduler` hands out too.
   */
  readonly sequences?:
    | readonly (BlockTable | CacheSequence)[]
    | readonly ContiguousSequence[];
  /** The cache's layer; 0 by default. */
  readonly layer?: number;
  /** The layer group of a `CacheManager`'s sequences; 0 by default. */
  readonly group?: number;
  /** Factor of the dot products; `1 / sqrt(headDim)` by default. */
  readonly scale?: number;
  /** Whether a query sees only keys at its own position and before. */
  readonly causal?: boolean;
  /**
   * Position of query 0 in the keys' coordinate, for all or for each sequence.
   * By default keys - queries: the last query stands at the last key.
   */
  readonly queryOffset?: number | Indices;
  /** Inclusive: `position - left <= key <= position + right`. */
  readonly window?: { readonly left?: number; readonly right?: number };
  /** `cap * tanh(score / cap)`, before all other score mods. */
  readonly softcap?: number;
  /** ALiBi: `true`, or slopes `[queryHeads]` or `[batch, queryHeads]`. */
  readonly alibi?: boolean | Float32Array;
  /** More score mods, in order. */
  readonly scoreMod?: ScoreMod | readonly ScoreMod[];
  /** More masks; a key is seen where all hold. */
  readonly maskMod?: MaskMod | readonly MaskMod[];
  /** Whether the log-sum-exp is wanted too. */
  readonly returnLse?: boolean;
}

/**
 * Checks options and turns them into a problem.
 *
 * @throws {TypeError} for wrong types, ranks, shapes and combinations
 * @throws {RangeError} for values out of range
 */
export function attentionProblem(
  options: AttentionOptions<AnyTensor>,
): AttentionProblem {
  checkType(
    typeof options === "object" && options !== null,
    "options",
    "must be an object",
    options,
  );
  const query = describeTensor("query", options.query);
  const rank = query.shape.length;
  checkType(
    rank === 3 || rank === 4,
    "query.shape",
    "must have rank 4, or 3 where ragged",
    query.shape,
  );
  const [queryHeads, headDim] = query.shape.slice(-2);
  const queries = querySpans(query.shape, options.cuSeqlens);
  const keys = keySource(options, query, queries.length);
  const { kvHeads, valueHeadDim } = keys;
  checkInteger("queryHeads", queryHeads, 1);
  checkInteger("kvHeads", kvHeads, 1);
  checkInteger("headDim", headDim, 1, 256);
  checkInteger("valueHeadDim", valueHeadDim, 1, 256);
  checkType(
    keys.headDim === headDim,
    "key.shape",
    `must have the query's headDim (${headDim})`,
    keys.headDim,
  );
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  const { scale = 1 / Math.sqrt(headDim) } = options;
  checkFinite("scale", scale);
  checkRange(
    Number.isFinite(Math.fround(scale)),
    "scale",
    "must be finite in float32",
    scale,
  );
  checkBoolean("returnLse", options.returnLse);
  const offsets = queryOffsets(options.queryOffset, queries.length);
  const sequences = queries.map(([queryStart, queryCount], i) => ({
    queryStart,
    queryCount,
    ...keys.spans[i],
    queryOffset: offsets?.[i] ?? keys.spans[i].keyCount - queryCount,
  }));
  return {
    dtype: query.dtype,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    queryTokens: rank === 3 ? query.shape[0] : query.shape[0] * query.shape[1],
    sequences,
    source: keys.source,
    scale,
    scoreMods: scoreMods(options, queries.length, queryHeads),
    maskMods: maskMods(options),
    lse: options.returnLse ?? false,
  };
}

function queryOffsets(
  queryOffset: number | Indices | undefined,
  batch: number,
): number[] | undefined {
  if (queryOffset === undefined) return undefined;
  if (typeof queryOffset === "number") {
    checkInteger("queryOffset", queryOffset, -(2 ** 31), 2 ** 31 - 1);
    return new Array(batch).fill(queryOffset);
  }
  checkIndices("queryOffset", queryOffset);
  checkType(
    queryOffset.length === batch,
    "queryOffset.length",
    `must be the number of sequences (${batch})`,
    queryOffset.length,
  );
  return Array.from(queryOffset);
}

/**
 * The options of `attention()`, and how they become a problem: every check of
 * types, shapes and ranges is here, before anything touches the device.
 *
 * @module
 */

import { BlockTable, KvCache, packTables } from "../cache/mod.ts";
import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../core/check.ts";
import { type DType, elementTypeOf } from "../core/dtype.ts";
import { GpuTensor } from "../gpu/mod.ts";
import {
  alibi,
  alibiSlopes,
  causal,
  type MaskMod,
  type ScoreMod,
  slidingWindow,
  softcap,
} from "../mods/mod.ts";
import type {
  AttentionProblem,
  ContiguousSource,
  PagedSource,
  SequenceShape,
} from "./problem.ts";

/** A host array with its shape. */
export interface HostTensor {
  /** The elements, row-major. */
  readonly data: Float32Array | Float16Array;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/** A tensor that is not there yet: enough to make a plan. */
export interface TensorShape {
  /** The storage type. */
  readonly dtype: DType;
  /** Lengths of the dimensions, outermost first. */
  readonly shape: readonly number[];
}

/** Lengths, offsets or indices: one a sequence, or `batch + 1` of them. */
export type Indices = readonly number[] | Uint32Array | Int32Array;

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
  /** Paged: a cache of ours, instead of `key`, `value` and `blockTable`. */
  readonly cache?: KvCache;
  /** The cache's sequences, one a batch entry. */
  readonly sequences?: readonly BlockTable[];
  /** The cache's layer; 0 by default. */
  readonly layer?: number;
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

/** Any form of tensor, of which only dtype and shape matter for a problem. */
export type AnyTensor = GpuTensor | HostTensor | TensorShape;

/** Sequences of one call at most: their records alone fill a binding. */
const MAX_SEQUENCES = 2 ** 22;

/** The dtype and shape of a tensor, wherever it is. */
export function describeTensor(name: string, tensor: unknown): TensorShape {
  if (tensor instanceof GpuTensor) {
    void tensor.buffer; // Throws where it is destroyed.
    const { dtype, shape } = tensor;
    checkType(dtype !== "u32", `${name}.dtype`, "must be f32 or f16", dtype);
    return { dtype, shape };
  }
  checkType(
    typeof tensor === "object" && tensor !== null && "shape" in tensor,
    name,
    "must be a GpuTensor or { data, shape }",
    tensor,
  );
  const { shape } = tensor as TensorShape;
  checkType(Array.isArray(shape), `${name}.shape`, "must be an array", shape);
  shape.forEach((length, i) =>
    checkInteger(`${name}.shape[${i}]`, length, 0, 2 ** 32 - 1)
  );
  const size = shape.reduce((product, length) => product * length, 1);
  checkRange(size < 2 ** 32, name, "must have < 2^32 elements", size);
  if (!("data" in tensor)) {
    const { dtype } = tensor as TensorShape;
    checkType(
      dtype === "f32" || dtype === "f16",
      `${name}.dtype`,
      "must be f32 or f16",
      dtype,
    );
    return { dtype, shape };
  }
  const { data } = tensor as HostTensor;
  const dtype = elementTypeOf(data);
  checkType(
    dtype === "f32" || dtype === "f16",
    `${name}.data`,
    "must be a Float32Array or Float16Array",
    data,
  );
  checkType(
    data.length === size,
    `${name}.data.length`,
    `must be ${size}, the product of shape [${shape.join(", ")}]`,
    data.length,
  );
  return { dtype, shape };
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

/** (start, count) of each sequence's queries. */
function querySpans(
  shape: readonly number[],
  cuSeqlens: Indices | undefined,
): [start: number, count: number][] {
  if (shape.length === 4) {
    checkType(
      cuSeqlens === undefined,
      "cuSeqlens",
      "must not be given with a query of rank 4",
      cuSeqlens,
    );
    const [batch, count] = shape;
    checkInteger("query.shape[0]", batch, 0, MAX_SEQUENCES);
    return Array.from({ length: batch }, (_, b) => [b * count, count]);
  }
  checkType(
    cuSeqlens !== undefined,
    "cuSeqlens",
    "must be given with a query of rank 3",
    cuSeqlens,
  );
  return cumulativeSpans("cuSeqlens", cuSeqlens, shape[0]);
}

function cumulativeSpans(
  name: string,
  cumulative: Indices,
  tokens: number,
): [start: number, count: number][] {
  checkIndices(name, cumulative);
  checkType(
    cumulative.length >= 1,
    name,
    "must have an element more than there are sequences",
    cumulative,
  );
  checkRange(cumulative[0] === 0, name, "must begin with 0", cumulative[0]);
  checkInteger(`${name}.length`, cumulative.length, 1, MAX_SEQUENCES + 1);
  const spans: [number, number][] = [];
  for (let i = 1; i < cumulative.length; i++) {
    checkRange(
      cumulative[i] >= cumulative[i - 1],
      `${name}[${i}]`,
      `must be >= ${cumulative[i - 1]}, the one before it`,
      cumulative[i],
    );
    spans.push([cumulative[i - 1], cumulative[i] - cumulative[i - 1]]);
  }
  checkRange(
    cumulative[cumulative.length - 1] === tokens,
    name,
    `must end with the number of tokens (${tokens})`,
    cumulative[cumulative.length - 1],
  );
  return spans;
}

function checkIndices(name: string, indices: unknown): void {
  checkType(
    Array.isArray(indices) || indices instanceof Uint32Array ||
      indices instanceof Int32Array,
    name,
    "must be an array of integers",
    indices,
  );
  for (let i = 0; i < indices.length; i++) {
    checkInteger(`${name}[${i}]`, indices[i], -(2 ** 31), 2 ** 32 - 1);
  }
}

interface KeySource {
  readonly source: ContiguousSource | PagedSource;
  readonly spans: readonly Pick<SequenceShape, "keyStart" | "keyCount">[];
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
}

function keySource(
  options: AttentionOptions<AnyTensor>,
  query: TensorShape,
  batch: number,
): KeySource {
  if (options.cache !== undefined) return cacheSource(options, query, batch);
  checkType(
    options.sequences === undefined,
    "sequences",
    "must be given with cache only",
    options.sequences,
  );
  const key = describeTensor("key", options.key);
  const value = describeTensor("value", options.value);
  const paged = options.blockTable !== undefined;
  const rank = paged ? 4 : query.shape.length;
  for (const [name, tensor] of [["key", key], ["value", value]] as const) {
    checkType(
      tensor.dtype === query.dtype,
      `${name}.dtype`,
      `must be the query's (${query.dtype})`,
      tensor.dtype,
    );
    checkType(
      tensor.shape.length === rank,
      `${name}.shape`,
      `must have rank ${rank}`,
      tensor.shape,
    );
  }
  checkType(
    key.shape.slice(0, -1).join() === value.shape.slice(0, -1).join(),
    "value.shape",
    `must match key.shape [${key.shape.join(", ")}] but for its last dimension`,
    value.shape,
  );
  const [kvHeads, headDim] = key.shape.slice(-2);
  const dims = { kvHeads, headDim, valueHeadDim: value.shape[rank - 1] };
  return paged
    ? { ...blockSource(options, key.shape, batch), ...dims }
    : { ...denseSource(options, key.shape, batch), ...dims };
}

/** Written lengths, each at most the capacity of its sequence. */
function checkedLengths(
  keyLengths: Indices | undefined,
  capacities: readonly number[],
): number[] {
  if (keyLengths === undefined) return [...capacities];
  checkIndices("keyLengths", keyLengths);
  checkType(
    keyLengths.length === capacities.length,
    "keyLengths.length",
    `must be the number of sequences (${capacities.length})`,
    keyLengths.length,
  );
  return capacities.map((capacity, i) => {
    checkInteger(`keyLengths[${i}]`, keyLengths[i], 0);
    checkRange(
      keyLengths[i] <= capacity,
      `keyLengths[${i}]`,
      `must be <= ${capacity}, the capacity of the sequence`,
      keyLengths[i],
    );
    return keyLengths[i];
  });
}

function denseSource(
  options: AttentionOptions<AnyTensor>,
  shape: readonly number[],
  batch: number,
): Pick<KeySource, "source" | "spans"> {
  let spans: [number, number][];
  if (shape.length === 4) {
    const [rows, count] = shape;
    checkType(
      rows === batch,
      "key.shape[0]",
      `must be the query's batch (${batch})`,
      rows,
    );
    checkType(
      options.cuSeqlensKey === undefined,
      "cuSeqlensKey",
      "must not be given with a key of rank 4",
      options.cuSeqlensKey,
    );
    spans = Array.from({ length: batch }, (_, b) => [b * count, count]);
  } else {
    const cumulative = options.cuSeqlensKey ?? options.cuSeqlens!;
    const name = options.cuSeqlensKey ? "cuSeqlensKey" : "cuSeqlens";
    spans = cumulativeSpans(name, cumulative, shape[0]);
    checkType(
      spans.length === batch,
      "cuSeqlensKey.length",
      `must be cuSeqlens' (${batch + 1})`,
      spans.length + 1,
    );
  }
  const lengths = checkedLengths(
    options.keyLengths,
    spans.map(([, count]) => count),
  );
  const keyTokens = shape.length === 4 ? shape[0] * shape[1] : shape[0];
  return {
    source: { kind: "contiguous", keyTokens },
    spans: spans.map(([keyStart], i) => ({ keyStart, keyCount: lengths[i] })),
  };
}

function blockSource(
  options: AttentionOptions<AnyTensor>,
  [numBlocks, blockSize]: readonly number[],
  batch: number,
): Pick<KeySource, "source" | "spans"> {
  const { blockTable, keyLengths } = options;
  checkType(
    blockTable instanceof Uint32Array,
    "blockTable",
    "must be a Uint32Array",
    blockTable,
  );
  checkType(
    keyLengths !== undefined,
    "keyLengths",
    "must be given with blockTable",
    keyLengths,
  );
  checkType(
    options.cuSeqlensKey === undefined,
    "cuSeqlensKey",
    "must not be given with blockTable",
    options.cuSeqlensKey,
  );
  checkInteger("blockSize", blockSize, 1);
  checkType(
    batch === 0 ? blockTable.length === 0 : blockTable.length % batch === 0,
    "blockTable.length",
    `must be a multiple of the number of sequences (${batch})`,
    blockTable.length,
  );
  const tableWidth = batch === 0 ? 0 : blockTable.length / batch;
  const lengths = checkedLengths(
    keyLengths,
    new Array(batch).fill(tableWidth * blockSize),
  );
  lengths.forEach((length, i) => {
    for (let b = 0; b < Math.ceil(length / blockSize); b++) {
      const id = blockTable[i * tableWidth + b];
      checkRange(
        id < numBlocks,
        `blockTable[${i}, ${b}]`,
        `must be < numBlocks (${numBlocks})`,
        id,
      );
    }
  });
  return {
    source: {
      kind: "paged",
      blockSize,
      numBlocks,
      segments: 0,
      segmentBlocks: Math.max(1, numBlocks),
      blockTable,
      tableWidth,
    },
    spans: lengths.map((keyCount, i) => ({
      keyStart: i * tableWidth,
      keyCount,
    })),
  };
}

function cacheSource(
  options: AttentionOptions<AnyTensor>,
  query: TensorShape,
  batch: number,
): KeySource {
  const cache = options.cache!;
  checkType(cache instanceof KvCache, "cache", "must be a KvCache", cache);
  for (
    const name of [
      "key",
      "value",
      "blockTable",
      "keyLengths",
      "cuSeqlensKey",
    ] as const
  ) {
    checkType(
      options[name] === undefined,
      name,
      "must not be given with cache",
      options[name],
    );
  }
  const { sequences } = options;
  checkType(
    Array.isArray(sequences),
    "sequences",
    "must be given with cache",
    sequences,
  );
  checkType(
    sequences.length === batch,
    "sequences.length",
    `must be the query's number of sequences (${batch})`,
    sequences.length,
  );
  checkType(
    cache.dtype === query.dtype,
    "query.dtype",
    `must be the cache's (${cache.dtype})`,
    query.dtype,
  );
  sequences.forEach((sequence, i) =>
    checkType(
      sequence instanceof BlockTable && sequence.pool === cache.pool,
      `sequences[${i}]`,
      "must be a sequence of the cache",
      sequence,
    )
  );
  checkInteger("layer", options.layer ?? 0, 0, cache.layers - 1);
  const packed = packTables(sequences);
  return {
    kvHeads: cache.kvHeads,
    headDim: cache.headDim,
    valueHeadDim: cache.valueHeadDim,
    source: {
      kind: "paged",
      blockSize: cache.blockSize,
      numBlocks: cache.numBlocks,
      segments: cache.segments,
      segmentBlocks: cache.segmentBlocks,
      blockTable: packed.blockTable,
      tableWidth: packed.maxBlocks,
    },
    spans: sequences.map(({ length }, i) => ({
      keyStart: i * packed.maxBlocks,
      keyCount: length,
    })),
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

function scoreMods(
  options: AttentionOptions<AnyTensor>,
  batch: number,
  heads: number,
): ScoreMod[] {
  const mods: ScoreMod[] = [];
  if (options.softcap !== undefined) mods.push(softcap(options.softcap));
  const { alibi: slopes } = options;
  if (slopes !== undefined && slopes !== false) {
    const given = slopes === true ? alibiSlopes(heads) : slopes;
    checkType(
      given instanceof Float32Array,
      "alibi",
      "must be a boolean or a Float32Array",
      given,
    );
    checkType(
      given.length === heads || given.length === batch * heads,
      "alibi.length",
      `must be queryHeads (${heads}) or batch x queryHeads (${batch * heads})`,
      given.length,
    );
    mods.push(
      alibi(given, given.length === heads ? [heads] : [batch, heads]),
    );
  }
  return [...mods, ...listOf<ScoreMod>("scoreMod", "score", options.scoreMod)];
}

function maskMods(options: AttentionOptions<AnyTensor>): MaskMod[] {
  const mods: MaskMod[] = [];
  const { window } = options;
  checkBoolean("causal", options.causal);
  if (options.causal) mods.push(causal());
  if (window !== undefined) {
    checkType(
      typeof window === "object" && window !== null,
      "window",
      "must be { left, right }",
      window,
    );
    mods.push(slidingWindow(window));
  }
  return [...mods, ...listOf<MaskMod>("maskMod", "mask", options.maskMod)];
}

function listOf<M extends { readonly kind: string }>(
  name: string,
  kind: string,
  mods: M | readonly M[] | undefined,
): readonly M[] {
  if (mods === undefined) return [];
  const list = (Array.isArray(mods) ? mods : [mods]) as readonly M[];
  for (const mod of list) {
    checkType(
      mod?.kind === kind,
      name,
      `must be made by ${kind}Mod() or be a shipped ${kind} mod`,
      mod,
    );
  }
  return list;
}

function checkBoolean(name: string, value: unknown): void {
  checkType(
    value === undefined || typeof value === "boolean",
    name,
    "must be a boolean",
    value,
  );
}

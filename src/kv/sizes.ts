/**
 * How large a KV cache is: its options, checked, and what follows from them.
 *
 * @module
 */

import { OTHER_BUFFERS } from "../../kernels/attention/spec.ts";
import {
  MOST_SEGMENTS,
  rowFormat,
  SEGMENT_SHIFT,
} from "../../kernels/fragments/rows.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { checkOptions, type OptionHints } from "../core/options.ts";
import { bytesPerElement, type DType } from "../core/dtype.ts";
import type { Gpu } from "../gpu/mod.ts";
import { DEFAULT_BLOCK_SIZE } from "../cache/block/block_pool.ts";

/**
 * How large a `KvCache` is, and what it holds.
 *
 * @category Cache
 */
export interface KvCacheOptions {
  /** Blocks a layer, the null block included. */
  readonly numBlocks: number;
  /** Tokens of a block; 16 by default. */
  readonly blockSize?: number;
  /** Layers, all with the same shape and tables; 1 by default. */
  readonly layers?: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a key row. */
  readonly headDim: number;
  /** Elements of a value row; `headDim` by default. */
  readonly valueHeadDim?: number;
  /** The storage type; f32 by default. */
  readonly dtype?: DType;
  /**
   * Bytes of one arena at most; by default what the device can bind at once.
   * A cache that needs more has several arenas a layer.
   */
  readonly maxArenaBytes?: number;
  /** How `append` rotates keys (RoPE); not at all by default. */
  readonly rope?: {
    /** Pairs are `(2t, 2t + 1)`, or `(t, t + dim / 2)`. */
    readonly pairing: "interleaved" | "half-split";
    /** Rotated elements of a key, an even number; `headDim` by default. */
    readonly dim?: number;
  };
}

/** The sizes that follow from options and a device's limits. */
export interface CacheSizes {
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly dtype: DType;
  readonly ropeDim: number;
  readonly blockBytes: number;
  readonly segments: number;
  readonly segmentBlocks: number;
}

const CACHE_OPTIONS = [
  "numBlocks",
  "blockSize",
  "layers",
  "kvHeads",
  "headDim",
  "valueHeadDim",
  "dtype",
  "maxArenaBytes",
  "rope",
  // Of a contiguous cache.
  "growth",
];

const HINTS: OptionHints = {
  numLayers: "write layers",
  numHeads: "write kvHeads",
  numKvHeads: "write kvHeads",
  heads: "write kvHeads",
  headSize: "write headDim",
  pageSize: "write blockSize",
  numPages: "write numBlocks",
  blocks: "write numBlocks",
  type: "write dtype",
};

/** Bytes of the largest arena that the device can bind. */
export function arenaLimit({ limits }: Gpu): number {
  return Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}

/**
 * Checks options and works out the sizes.
 *
 * @throws {TypeError} if an option has the wrong type
 * @throws {RangeError} if one is out of range, or a block or all of them are
 * more than the device can bind
 */
export function cacheSizes(gpu: Gpu, options: KvCacheOptions): CacheSizes {
  checkOptions("a cache", options, { known: CACHE_OPTIONS, hints: HINTS });
  const { numBlocks, blockSize = DEFAULT_BLOCK_SIZE, layers = 1 } = options;
  const { kvHeads, headDim, valueHeadDim = headDim } = options;
  const { dtype = "f32" } = options;
  checkInteger("numBlocks", numBlocks, 2);
  checkInteger("blockSize", blockSize, 1);
  checkInteger("layers", layers, 1);
  checkInteger("kvHeads", kvHeads, 1);
  checkInteger("headDim", headDim, 1, 256);
  checkInteger("valueHeadDim", valueHeadDim, 1, 256);
  checkType(
    dtype === "f32" || dtype === "f16",
    "dtype",
    'must be "f32" or "f16"',
    dtype,
  );
  const ropeDim = checkedRopeDim(options.rope, headDim);
  const blockBytes = blockSize * kvHeads * (headDim + valueHeadDim) *
    bytesPerElement(dtype);
  const limit = arenaLimit(gpu);
  const { maxArenaBytes = limit } = options;
  checkInteger("maxArenaBytes", maxArenaBytes, 1);
  checkRange(
    maxArenaBytes <= limit,
    "maxArenaBytes",
    `must be <= what the device can bind (${limit})`,
    maxArenaBytes,
  );
  const { vector } = rowFormat(dtype, headDim, valueHeadDim);
  const most = mostBlocks({
    numBlocks,
    blockBytes,
    maxArenaBytes,
    unitBytes: bytesPerElement(dtype) * (vector ? 4 : 1),
  });
  checkRange(
    most >= 1,
    "a block's bytes",
    `must be <= maxArenaBytes (${maxArenaBytes})`,
    blockBytes,
  );
  const segments = Math.ceil(numBlocks / most);
  // Attention binds all arenas of a layer at once.
  const bindable = Math.min(
    MOST_SEGMENTS,
    gpu.limits.maxStorageBuffersPerShaderStage - OTHER_BUFFERS,
  );
  checkRange(
    segments <= bindable,
    "numBlocks",
    `must be <= ${
      bindable * most
    }, as a layer can have ${bindable} arenas of ${most} blocks`,
    numBlocks,
  );
  return {
    numBlocks,
    blockSize,
    layers,
    kvHeads,
    headDim,
    valueHeadDim,
    dtype,
    ropeDim,
    blockBytes,
    segments,
    segmentBlocks: Math.ceil(numBlocks / segments),
  };
}

function checkedRopeDim(
  rope: KvCacheOptions["rope"],
  headDim: number,
): number {
  if (rope === undefined) return 0;
  checkType(
    rope?.pairing === "interleaved" || rope?.pairing === "half-split",
    "rope.pairing",
    'must be "interleaved" or "half-split"',
    rope?.pairing,
  );
  const { dim = headDim } = rope;
  checkInteger("rope.dim", dim, 2, headDim);
  checkRange(dim % 2 === 0, "rope.dim", "must be even", dim);
  return dim;
}

/**
 * Blocks of an arena at most. Where there are several arenas, kernels keep the
 * arena's number in an address' upper bits, which leaves less for the rest.
 */
function mostBlocks({ numBlocks, blockBytes, maxArenaBytes, unitBytes }: {
  numBlocks: number;
  blockBytes: number;
  maxArenaBytes: number;
  unitBytes: number;
}): number {
  const most = Math.floor(maxArenaBytes / blockBytes);
  if (numBlocks <= most) return most;
  const addressable = (2 ** SEGMENT_SHIFT - 1) * unitBytes;
  return Math.min(most, Math.floor(addressable / blockBytes));
}

/**
 * A problem: what one attention call is about, after all checks. Dense and
 * ragged inputs have become a list of sequences; options like `causal` have
 * become mods.
 *
 * @module
 */

import type { Dropout } from "../../core/dropout.ts";
import type { DType } from "../../core/dtype.ts";
import type { GpuTensor } from "../../gpu/mod.ts";
import type { MaskMod, ScoreMod } from "../../mods/mod.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";
import type { ProblemPolicy } from "./policy_blocks.ts";

/**
 * One sequence of the batch.
 *
 * @category Plans
 */
export interface SequenceShape {
  /**
   * Where its queries begin, in token strides of the query; where those have
   * strides of their own, within the sequence.
   */
  readonly queryStart: number;
  /** Queries. */
  readonly queryCount: number;
  /**
   * Where its keys begin, in token strides of the key; paged: its first word in
   * the table.
   */
  readonly keyStart: number;
  /** Written keys. */
  readonly keyCount: number;
  /** Position of query 0 in the keys' coordinate. */
  readonly queryOffset: number;
}

/**
 * Keys and values in order, in one tensor each or both in one arena.
 *
 * @category Plans
 */
export interface ContiguousKeys {
  /** Tells the layouts apart. */
  readonly kind: "contiguous";
  /** Tokens of the key tensor, or of the arena. */
  readonly keyTokens: number;
  /** `0`: a key and a value tensor. `1`: an arena. */
  readonly segments: 0 | 1;
}

/**
 * Keys and values in blocks, found through a table.
 *
 * @category Plans
 */
export interface PagedKeys {
  /** Tells the layouts apart. */
  readonly kind: "paged";
  /** Tokens of a block. */
  readonly blockSize: number;
  /** Blocks, the null block included. */
  readonly numBlocks: number;
  /** `0`: a key and a value tensor of blocks. Else the number of arenas. */
  readonly segments: number;
  /** Blocks of one arena. */
  readonly segmentBlocks: number;
  /** `[sequences, tableWidth]` block ids; on the device, as they are when it runs. */
  readonly blockTable: Uint32Array | GpuTensor;
  /** Columns of the table. */
  readonly tableWidth: number;
}

/**
 * The order of a dense tensor's dimensions: `[batch, sequence, heads, headDim]`,
 * or `[batch, heads, sequence, headDim]` as PyTorch's and ONNX's attention.
 *
 * @category Plans
 */
export type Layout = "bshd" | "bhsd";

/**
 * Where rows of a tensor lie, in elements: that of `batch`, `token` and `head` is
 * at `at + batch * b + token * t + head * h`. Blocks stand for the batch where
 * keys are paged, and without either `batch` is 0.
 *
 * @category Plans
 */
export interface GivenStrides {
  /** The first element. */
  readonly at: number;
  /** From one sequence, or block, to the next. */
  readonly batch: number;
  /** From one token to the next. */
  readonly token: number;
  /** From one head to the next. */
  readonly head: number;
  /** One past the last element that is reached. */
  readonly extent: number;
}

/**
 * Scores of blocks: `[sequences, queryHeads, queryBlocks, keyBlocks]`.
 *
 * @category Plans
 */
export interface BlockScoresShape {
  /** Queries, and keys, of a block. */
  readonly block: number;
  /** Blocks of the queries of the sequence with most of them. */
  readonly queryBlocks: number;
  /** The same of keys. */
  readonly keyBlocks: number;
}

/**
 * One attention call.
 *
 * @category Attention
 */
export interface AttentionProblem {
  /** Storage of queries, keys, values and output. */
  readonly dtype: DType;
  /** Query heads. */
  readonly queryHeads: number;
  /** Key and value heads, a divisor of the query heads. */
  readonly kvHeads: number;
  /** Elements of a query or key row. */
  readonly headDim: number;
  /** Elements of a value or output row. */
  readonly valueHeadDim: number;
  /** Tokens of the query tensor. */
  readonly queryTokens: number;
  /** How dense tensors lie: tokens before heads, or heads before tokens. */
  readonly layout: Layout;
  /** Whether queries, keys and values are heads of one tensor, in this order. */
  readonly qkv: boolean;
  /** Where rows lie that do not lie side by side; none where all do. */
  readonly strides?: {
    /** Whether sequences are apart by a stride; ragged ones follow each other. */
    readonly dense: boolean;
    readonly query?: GivenStrides | undefined;
    readonly key?: GivenStrides | undefined;
    readonly value?: GivenStrides | undefined;
    readonly output?: GivenStrides | undefined;
  };
  /** The batch. */
  readonly sequences: readonly SequenceShape[];
  /** Where keys and values are. */
  readonly keys: ContiguousKeys | PagedKeys;
  /** Factor of the dot products. */
  readonly scale: number;
  /** Applied to the scaled scores, in order. */
  readonly scoreMods: readonly ScoreMod[];
  /** All must hold for a key to be seen. */
  readonly maskMods: readonly MaskMod[];
  /** Blocks of keys that the device selects, on top of all masks. */
  readonly selection?: DeviceBlockMask | undefined;
  /** What chose some of the masks above, or selects those blocks. */
  readonly policy?: ProblemPolicy | undefined;
  /** Dropout of the weights; where any are dropped. */
  readonly dropout?: Dropout | undefined;
  /** Whether the log-sum-exp is wanted. */
  readonly lse: boolean;
  /** Scores of blocks, where they are wanted. */
  readonly blockScores?: BlockScoresShape | undefined;
}

/** Tokens that one key tensor or one arena has room for. */
export function bufferTokens(keys: ContiguousKeys | PagedKeys): number {
  if (keys.kind === "contiguous") return keys.keyTokens;
  const { segments, segmentBlocks, numBlocks, blockSize } = keys;
  return (segments > 0 ? segmentBlocks : numBlocks) * blockSize;
}

/** Query rows of a sequence that share a kv head: queries x group. */
export function packedRows(
  problem: AttentionProblem,
  sequence: SequenceShape,
): number {
  return sequence.queryCount * (problem.queryHeads / problem.kvHeads);
}

/** Rows of four elements that hold `dim` elements. */
export function vecsOf(dim: number): number {
  return Math.ceil(dim / 4);
}

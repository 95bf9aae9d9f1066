/**
 * The options of `attention()`.
 *
 * @module
 */

import type {
  BlockTable,
  CacheSequence,
  ContiguousSequence,
} from "../../../cache/mod.ts";
import type { Dropout } from "../../../core/dropout.ts";
import type { GpuTensor } from "../../../gpu/mod.ts";
import type { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import type {
  BlockMask,
  FloatData,
  MaskMod,
  ScoreMod,
} from "../../../mods/mod.ts";
import type { StridedTensor } from "../../strided.ts";
import type { DeviceBlockMask } from "../../block_mask/device_block_mask.ts";
import type { HostBits, HostTensor } from "../../tensors.ts";
import type { Layout } from "../problem.ts";
import type { HostMask } from "./attention_mask.ts";
import type { BlockScoresOptions } from "./block_scores.ts";
import type { AttentionPolicy } from "./policy.ts";
import type { Indices } from "./spans.ts";

/**
 * What attention computes; `T` is where its tensors are.
 *
 * @category Attention
 */
export interface AttentionOptions<
  T = GpuTensor | HostTensor | HostBits | StridedTensor,
> {
  /**
   * `[batch, queries, queryHeads, headDim]`, or ragged
   * `[tokens, queryHeads, headDim]` with `cuSeqlens`. Not with `qkv`. A slice or
   * a transposed view is `{ tensor, shape, strides, offset }`, read as it lies;
   * keys and values too, each with strides of its own.
   */
  readonly query?: T;
  /**
   * `[batch, keys, kvHeads, headDim]`, ragged `[tokens, kvHeads, headDim]`, or
   * with `blockTable` `[numBlocks, blockSize, kvHeads, headDim]`. Not with
   * `cache`.
   */
  readonly key?: T;
  /** Like `key`, but the last dimension may differ. */
  readonly value?: T;
  /**
   * Queries, keys and values of one projection, instead of three tensors:
   * `[batch, sequence, queryHeads + 2 kvHeads, headDim]`, or ragged
   * `[tokens, queryHeads + 2 kvHeads, headDim]`; it is read as it lies.
   */
  readonly qkv?: T;
  /** With `qkv`: its key and value heads; a third of all heads by default. */
  readonly kvHeads?: number;
  /**
   * The order of dimensions of dense queries, keys, values and results: `"bshd"`
   * (default) as above, or `"bhsd"`: `[batch, heads, sequence, headDim]`, as
   * PyTorch's and ONNX's attention have them. Blocks keep theirs.
   */
  readonly layout?: Layout;
  /**
   * Where a plan writes output rows: elements from one index of a dimension to
   * the next, in the order of `layout`. Side by side by default. The log-sum-exp
   * always is.
   */
  readonly outputStrides?: readonly number[];
  /** With `outputStrides`: the first element; 0 by default. */
  readonly outputOffset?: number;
  /** Ragged queries: first token of each sequence, and the total at the end. */
  readonly cuSeqlens?: Indices;
  /** Ragged keys; `cuSeqlens` by default. */
  readonly cuSeqlensKey?: Indices;
  /** Written keys of each sequence; what lies past them is never read. */
  readonly keyLengths?: Indices;
  /**
   * Paged: `[sequences, maxBlocks]` block ids, row-major. A u32 GPU tensor of
   * that shape stays on the device: a plan reads it each time that it runs, so
   * that a dispatch before may write it. Nobody checks its ids then: one that is
   * no block's gives wrong rows, and never reads outside of the tensors.
   */
  readonly blockTable?: Uint32Array | GpuTensor;
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
  readonly queryOffset?: number | bigint | Indices;
  /** Inclusive: `position - left <= key <= position + right`. */
  readonly window?: { readonly left?: number; readonly right?: number };
  /** `cap * tanh(score / cap)`, before all other score mods. */
  readonly softcap?: number;
  /**
   * ALiBi: `true`, or slopes `[queryHeads]` or `[batch, queryHeads]`, of 32 or 16
   * bits, on the host or on the device.
   */
  readonly alibi?: boolean | FloatData | GpuTensor;
  /**
   * A mask of booleans (true where a query sees a key) or of floats (added to
   * the score; -Infinity hides), which broadcasts to
   * `[batch, queryHeads, queries, keys]` as NumPy has it, of rank 1 to 4. Row i
   * is query i's. It is on top of `causal` and all else, and added after
   * `softcap` and `alibi`. A GPU tensor (u8, u32 or i32 for booleans, f32 or
   * f16 for floats) stays on the device: a plan reads it each time that it runs.
   * No tile is skipped by it, as what it hides is not known here; what is not
   * finite in it hides.
   */
  readonly attnMask?: HostMask | GpuTensor;
  /** More score mods, in order. */
  readonly scoreMod?: ScoreMod | readonly ScoreMod[];
  /** More masks; a key is seen where all hold. */
  readonly maskMod?: MaskMod | readonly MaskMod[];
  /**
   * A mask in blocks, on top of `causal` and all else: blocks that it has not
   * are not visited. Its heads are 1, the query heads or a divisor of them, its
   * batch 1 or the number of sequences. One on the device is read by what
   * runs, at the time it runs: nothing waits for it.
   */
  readonly blockMask?: BlockMask | DeviceBlockMask;
  /**
   * A policy of `@quire/attention/policies`: which keys each row keeps of those
   * that all else leaves it. One that selects on the device is not for calls
   * with a `blockMask` there.
   */
  readonly select?: AttentionPolicy;
  /**
   * Dropout of the weights, for training: `rate` of them, in `[0, 1)`, do not
   * count, and the others `1 / (1 - rate)` times as much; the log-sum-exp is
   * that of all. `seed`, an integer in `[0, 2^64)`, says which, with the batch
   * index, the head, the query's position and the key, and nothing else: not
   * tiles, splits, or where keys lie. Give every call a seed of its own.
   */
  readonly dropout?: Dropout;
  /** Whether the log-sum-exp is wanted too. */
  readonly returnLse?: boolean;
  /**
   * Whether scores of blocks are wanted too, and of what blocks: for each block
   * of queries and block of keys the largest weight of any pair that is seen,
   * after all masks and score mods and before dropout, and each row of blocks
   * divided by its sum. A by-product of the forward kernel, which then writes a
   * number for each row and block of keys. Plans need `returnLse`, too.
   */
  readonly blockScores?: BlockScoresOptions;
}

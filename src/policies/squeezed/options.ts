/**
 * What Squeezed Attention is told, and its checks.
 *
 * @module
 */

import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";
import type { OptionHints } from "../../core/options.ts";
import { checkOptions } from "../../core/options.ts";
import type { Gpu } from "../../gpu/mod.ts";
import type { PlanChoices } from "../../ops/mod.ts";
import { type AnyTensor, describeTensor } from "../../ops/tensors.ts";
import {
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./clusters.ts";
import type { KeyBlocks } from "./lookup.ts";

/**
 * Which keys of a fixed context are kept.
 *
 * @category Policies
 */
export interface SqueezedThresholds {
  /** The context's clusters. */
  readonly clusters: SqueezedClusters;
  /**
   * In `[0, 1]`: keys are kept whose cluster has a mean score above it. A score
   * is about a key's share of a query's attention: all keys' add up to 1. 0 keeps
   * every key, 1 none.
   */
  readonly threshold: number;
  /**
   * The same of the level above, where there is one: clusters of clusters with a
   * lower mean are not looked into.
   */
  readonly coarseThreshold?: number | undefined;
}

/**
 * What `squeezedAttention()` and `planSqueezedAttention()` take.
 *
 * @category Policies
 */
export interface SqueezedOptions<Tensor = AnyTensor>
  extends SqueezedThresholds {
  /** `[1, queries, queryHeads, headDim]`, f32 or f16. */
  readonly query: Tensor;
  /**
   * `[1, keys, kvHeads, headDim]`: the context's in its order, then the others;
   * or blocks, `[numBlocks, blockSize, kvHeads, headDim]`.
   */
  readonly key: Tensor;
  /** `[1, keys, kvHeads, valueHeadDim]`, or blocks as the keys. */
  readonly value: Tensor;
  /** With blocks: the ids of the sequence's, in order. */
  readonly blockTable?: Uint32Array | undefined;
  /**
   * Written keys, the queries' own as the last; all that there is room for by
   * default. With blocks it must be given, as the last may not be full.
   */
  readonly keyLength?: number | undefined;
  /** Factor of the dot products; `1 / sqrt(headDim)` by default. */
  readonly scale?: number | undefined;
  /** `cap * tanh(score / cap)`, of keys' scores; not of centroids'. */
  readonly softcap?: number | undefined;
  /** Whether the log-sum-exp is wanted too. */
  readonly returnLse?: boolean | undefined;
  /** How attention runs, over kept keys and over the others. */
  readonly choices?: PlanChoices | undefined;
}

/** Checked options. */
export interface SqueezedProblem {
  readonly dtype: "f32" | "f16";
  readonly queries: number;
  readonly queryHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly sizes: ClusterSizes;
  /** Tokens of the key tensor. */
  readonly room: number;
  /** Where keys are in blocks. */
  readonly blocks: KeyBlocks | undefined;
  readonly keyLength: number;
  readonly threshold: number;
  readonly coarseThreshold: number;
  readonly scale: number;
  readonly softcap: number | undefined;
  readonly lse: boolean;
}

const OWNER = "squeezedAttention()";

const COMPOSE =
  "give the clusters to SqueezedPolicy and that to attention({ select }), which takes it";

const HINTS: OptionHints = {
  causal: "leave it out, as queries see keys up to their own",
  window: COMPOSE,
  alibi: COMPOSE,
  scoreMod: COMPOSE,
  maskMod: COMPOSE,
  attnMask: COMPOSE,
  blockMask: COMPOSE,
  cache: COMPOSE,
  cuSeqlens: "call it for each sequence",
  keyLengths: "write keyLength",
  centroids: "write clusters, with centroids, counts and labels",
  quantile: "write threshold: the mean score at that quantile",
  percentile: "write threshold: the mean score at that percentile",
  budget: "write threshold",
};

/**
 * Checks options of `squeezedAttention()`.
 *
 * @throws {TypeError} for wrong types, shapes and combinations
 * @throws {RangeError} for values out of range
 */
export function squeezedProblem(
  gpu: Gpu,
  options: SqueezedOptions,
): SqueezedProblem {
  checkOptions(OWNER, options, {
    known: [
      "query",
      "key",
      "value",
      "clusters",
      "threshold",
      "coarseThreshold",
      "keyLength",
      "blockTable",
      "scale",
      "softcap",
      "returnLse",
      "choices",
    ],
    hints: HINTS,
  });
  const paged = options.blockTable !== undefined;
  const tensor = (name: "query" | "key" | "value") => {
    const { dtype, shape } = describeTensor(name, options[name]);
    const inBlocks = paged && name !== "query";
    checkType(
      shape.length === 4 && (inBlocks || shape[0] === 1),
      `${name}.shape`,
      `must be ${
        name === "query"
          ? "[1, queries, queryHeads, headDim]"
          : inBlocks
          ? "[numBlocks, blockSize, kvHeads, headDim]"
          : "[1, keys, kvHeads, headDim]"
      }: the policy squeezed is for one sequence a call`,
      shape,
    );
    return { dtype, shape };
  };
  const query = tensor("query");
  const key = tensor("key");
  const value = tensor("value");
  for (const [name, { dtype }] of Object.entries({ key, value })) {
    checkType(
      dtype === query.dtype,
      `${name}.dtype`,
      `must be the query's (${query.dtype})`,
      dtype,
    );
  }
  const [, queries, queryHeads, headDim] = query.shape;
  const [numBlocks, blockSize, kvHeads] = key.shape;
  checkType(
    value.shape.slice(0, 3).join() === key.shape.slice(0, 3).join(),
    "value.shape",
    `must match key.shape [${key.shape.join(", ")}] but for its last dimension`,
    value.shape,
  );
  checkInteger("queries", queries, 1);
  checkInteger("valueHeadDim", value.shape[3], 1, 256);
  const kept = checkThresholds(gpu, options, {
    queryHeads,
    kvHeads,
    headDim: key.shape[3],
  });
  checkType(
    headDim === key.shape[3],
    "query.shape",
    `must have the key's headDim (${key.shape[3]})`,
    query.shape,
  );
  const { scale = 1 / Math.sqrt(headDim) } = options;
  checkScale(scale);
  const { blockTable, softcap, returnLse } = options;
  checkType(
    blockTable === undefined || blockTable instanceof Uint32Array,
    "blockTable",
    "must be a Uint32Array",
    blockTable,
  );
  checkType(
    blockTable === undefined || options.keyLength !== undefined,
    "keyLength",
    "must be given with blockTable",
    options.keyLength,
  );
  const room = (blockTable?.length ?? 1) * blockSize;
  const { keyLength = room } = options;
  const least = kept.sizes.keys + queries;
  checkInteger("keyLength", keyLength, 0, room);
  checkRange(
    keyLength >= least,
    "keyLength",
    `must be >= ${least}, the keys of squeezed's context and the queries' own behind it, so that no row is left empty`,
    keyLength,
  );
  checkBoolean("returnLse", returnLse);
  blockTable?.subarray(0, Math.ceil(keyLength / blockSize)).forEach((id, i) =>
    checkRange(
      id < numBlocks,
      `blockTable[${i}]`,
      `must be < numBlocks (${numBlocks})`,
      id,
    )
  );
  return {
    ...kept,
    dtype: query.dtype,
    queries,
    queryHeads,
    headDim,
    valueHeadDim: value.shape[3],
    room: numBlocks * blockSize,
    // What has been checked is what is read, whatever becomes of the array.
    blocks: blockTable && { table: blockTable.slice(), size: blockSize },
    keyLength,
    scale,
    softcap,
    lse: returnLse ?? false,
  };
}

/**
 * Checks clusters and thresholds against the heads that they are for.
 *
 * @throws {TypeError} for wrong types, and clusters of other heads
 * @throws {RangeError} for values out of range
 */
export function checkThresholds(
  gpu: Gpu,
  options: SqueezedThresholds,
  { queryHeads, kvHeads, headDim }: {
    readonly queryHeads: number;
    readonly kvHeads: number;
    readonly headDim: number;
  },
): Pick<SqueezedProblem, "sizes" | "threshold" | "coarseThreshold"> {
  const sizes = clusterSizes(gpu, options.clusters);
  checkType(
    sizes.kvHeads === kvHeads && sizes.headDim === headDim,
    "clusters.centroids",
    `must be [${kvHeads}, clusters, ${headDim}], as squeezed's clusters are of the keys' heads`,
    options.clusters.centroids.shape,
  );
  checkInteger("queryHeads", queryHeads, 1);
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  const { threshold, coarseThreshold } = options;
  checkThreshold("threshold", threshold);
  checkType(
    (coarseThreshold === undefined) === (sizes.coarse === 0),
    "coarseThreshold",
    sizes.coarse === 0
      ? "must be left out, as squeezed's clusters have one level"
      : "must be given, as squeezed's clusters have two levels",
    coarseThreshold,
  );
  if (coarseThreshold !== undefined) {
    checkThreshold("coarseThreshold", coarseThreshold);
  }
  return { sizes, threshold, coarseThreshold: coarseThreshold ?? 0 };
}

/**
 * Checks a factor of dot products.
 *
 * @throws {TypeError} if it is no number
 * @throws {RangeError} if it is not finite, or not in float32
 */
export function checkScale(scale: number): void {
  checkFinite("scale", scale);
  checkRange(
    Number.isFinite(Math.fround(scale)),
    "scale",
    "must be finite in float32",
    scale,
  );
}

function checkThreshold(name: string, threshold: number): void {
  checkFinite(name, threshold);
  checkRange(
    threshold >= 0 && threshold <= 1,
    name,
    "of squeezed must be in [0, 1]: it is a key's share of the attention",
    threshold,
  );
}

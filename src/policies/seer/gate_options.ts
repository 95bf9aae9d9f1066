/**
 * What a Seer gate is made of, and its checks.
 *
 * @module
 */

import type { RotaryPairing } from "../../../kernels/fragments/rotary.ts";
import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkOneOf,
  checkRange,
  checkType,
} from "../../core/check.ts";
import type { DType } from "../../core/dtype.ts";
import { checkOptions } from "../../core/options.ts";
import type { GpuTensor } from "../../gpu/mod.ts";
import {
  describeTensor,
  type HostBits,
  type HostTensor,
} from "../../ops/tensors.ts";
import type { SeerWeights } from "./weights.ts";

/**
 * How a gate's rows are rotated: as the model's own, with blocks in place of
 * tokens.
 *
 * @category Policies
 */
export interface SeerRotary {
  /** Base of the frequencies; 10000 by default. */
  readonly base?: number;
  /** Which elements make a pair; `"half-split"` by default. */
  readonly pairing?: RotaryPairing;
}

/**
 * A gate of one layer. One of `threshold`, `density` and `topK` says how many
 * blocks it keeps.
 *
 * @category Policies
 */
export interface SeerGateOptions {
  /** What distillation learned, on the device or on the host. */
  readonly weights: SeerWeights<GpuTensor | HostTensor | HostBits>;
  /** Query heads of the layer. */
  readonly queryHeads: number;
  /** Its key and value heads. */
  readonly kvHeads: number;
  /** Tokens of a block, of queries and of keys; 64 by default. */
  readonly block?: number;
  /**
   * Blocks whose share is at least this are kept, in `[0, 1]`: shares of a row
   * add up to 1, and 0 keeps all that a row may see.
   */
  readonly threshold?: number;
  /**
   * Of each row as many of the highest blocks as leave about this part of a
   * causal triangle, in `(0, 1]`: `max(1, floor((1 - sqrt(1 - density)) n))` of n
   * blocks of keys. All sequences must have the same n.
   */
  readonly density?: number;
  /** Of each row so many of the highest blocks; of equal ones the first. */
  readonly topK?: number;
  /**
   * The last blocks of queries of each sequence that keep all that they may see;
   * 2 by default. Not while decoding, where a block is one query.
   */
  readonly denseRows?: number;
  /** With `below`: what shorter sequences do. */
  readonly fallback?: "dense";
  /** With `fallback`: sequences of fewer keys keep all. */
  readonly below?: number;
  /**
   * Whether a block of queries shares its softmax among the blocks at its own
   * position and before (default), or among all. Say what attention is told.
   */
  readonly causal?: boolean;
  /** How gate rows are rotated; `false`: not at all. */
  readonly rotary?: SeerRotary | false;
  /** Which layer it is for: `select()` must then name the same. */
  readonly layer?: number;
}

/** A gate's options, checked. */
export interface SeerShape {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly gateDim: number;
  /** Heads of the gate's keys: the query heads, or the kv heads. */
  readonly keyHeads: number;
  /** Storage of the weights. */
  readonly weights: SeerWeights<DType>;
  readonly block: number;
  readonly rule: SeerRule;
  readonly denseRows: number;
  /** Sequences of fewer keys keep all. */
  readonly below: number;
  readonly causal: boolean;
  readonly rotary: Required<SeerRotary> | undefined;
  readonly layer: number | undefined;
}

/** How blocks are chosen: the one that is given. */
export type SeerRule = Pick<SeerGateOptions, "threshold" | "density" | "topK">;

const KNOWN = [
  "weights",
  "queryHeads",
  "kvHeads",
  "block",
  "threshold",
  "density",
  "topK",
  "denseRows",
  "fallback",
  "below",
  "causal",
  "rotary",
  "layer",
];

const HINTS = {
  blockSize: "write block",
  nzRatio: "write density",
  budget: "write topK or density",
  k: "write topK",
  heads: "write queryHeads and kvHeads",
  numHeads: "write queryHeads",
  numKeyValueHeads: "write kvHeads",
  headDim: "it is that of weights.key",
  layerIdx: "write layer",
  lastBlockDense: "write denseRows",
  ropeTheta: "write rotary: { base }",
};

/**
 * Checks the options of a gate.
 *
 * @throws {TypeError} for wrong types and shapes
 * @throws {RangeError} for values out of range
 */
export function seerShape(options: SeerGateOptions): SeerShape {
  checkOptions("SeerGate.create()", options, { known: KNOWN, hints: HINTS });
  const { queryHeads, kvHeads, block = 64, denseRows = 2, below } = options;
  checkInteger("queryHeads", queryHeads, 1, 2 ** 16);
  checkInteger("kvHeads", kvHeads, 1, queryHeads);
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  checkInteger("block", block, 1, 2 ** 15);
  checkInteger("denseRows", denseRows, 0);
  checkBoolean("causal", options.causal);
  const { fallback, layer } = options;
  checkType(
    fallback === undefined || fallback === "dense",
    "fallback",
    'must be "dense"',
    fallback,
  );
  checkType(
    (fallback === undefined) === (below === undefined),
    below === undefined ? "below" : "fallback",
    `must be given with ${below === undefined ? "fallback" : "below"}`,
    below ?? fallback,
  );
  if (below !== undefined) checkInteger("below", below, 0);
  if (layer !== undefined) checkInteger("layer", layer, 0);
  return {
    queryHeads,
    kvHeads,
    ...weightsOf(options.weights, { queryHeads, kvHeads }),
    block,
    rule: ruleOf(options),
    denseRows,
    below: below ?? 0,
    causal: options.causal ?? true,
    rotary: rotaryOf(options.rotary),
    layer,
  };
}

/** What weights say of a gate's sizes. */
function weightsOf(
  weights: SeerGateOptions["weights"],
  { queryHeads, kvHeads }: {
    readonly queryHeads: number;
    readonly kvHeads: number;
  },
): Pick<SeerShape, "headDim" | "gateDim" | "keyHeads" | "weights"> {
  checkOptions("weights", weights, {
    known: ["key", "query"],
    hints: { wk: "write key", wq: "write query" },
  });
  const key = describeTensor("weights.key", weights.key);
  const query = weights.query === undefined
    ? undefined
    : describeTensor("weights.query", weights.query);
  const [heads, inputs, gateDim] = key.shape;
  checkType(
    key.shape.length === 3 && inputs % 3 === 0,
    "weights.key.shape",
    "must be [heads, 3 headDim, gateDim]",
    key.shape,
  );
  const headDim = inputs / 3;
  checkInteger("weights.key headDim", headDim, 1, 256);
  checkInteger("weights.key gateDim", gateDim, 1, 256);
  const [keyHeads, what] = query === undefined
    ? [queryHeads, "queryHeads, as there is no weights.query"]
    : [kvHeads, "kvHeads"];
  checkType(
    heads === keyHeads,
    "weights.key heads",
    `must be ${what} (${keyHeads})`,
    heads,
  );
  checkType(
    query !== undefined || gateDim === headDim,
    "weights.key gateDim",
    `must be headDim (${headDim}), as there is no weights.query`,
    gateDim,
  );
  checkType(
    query === undefined ||
      query.shape.join() === [queryHeads, headDim, gateDim].join(),
    "weights.query.shape",
    `must be [queryHeads, headDim, gateDim], ${
      [queryHeads, headDim, gateDim].join(" x ")
    }`,
    query?.shape,
  );
  return {
    headDim,
    gateDim,
    keyHeads,
    weights: { key: key.dtype, ...(query && { query: query.dtype }) },
  };
}

function ruleOf({ threshold, density, topK }: SeerGateOptions): SeerRule {
  const given = Object.entries({ threshold, density, topK })
    .filter(([, value]) => value !== undefined);
  checkType(
    given.length === 1,
    given[1]?.[0] ?? "threshold",
    given.length === 0
      ? "must be given, or density, or topK"
      : `must not be given beside ${given[0][0]}`,
    given[1]?.[1],
  );
  if (threshold !== undefined) {
    checkFinite("threshold", threshold);
    checkRange(
      threshold >= 0 && threshold <= 1,
      "threshold",
      "must be in [0, 1], as shares are",
      threshold,
    );
    return { threshold };
  }
  if (topK !== undefined) {
    checkInteger("topK", topK, 1, 2 ** 31 - 1);
    return { topK };
  }
  checkFinite("density", density);
  checkRange(
    density > 0 && density <= 1,
    "density",
    "must be in (0, 1]",
    density,
  );
  return { density };
}

function rotaryOf(
  rotary: SeerGateOptions["rotary"] = {},
): Required<SeerRotary> | undefined {
  if (rotary === false) return undefined;
  checkOptions("rotary", rotary, {
    known: ["base", "pairing"],
    hints: { theta: "write base", ropeTheta: "write base" },
  });
  const { base = 10000, pairing = "half-split" } = rotary;
  checkFinite("rotary.base", base);
  checkRange(base > 0, "rotary.base", "must be > 0", base);
  checkOneOf("rotary.pairing", pairing, ["interleaved", "half-split"]);
  return { base, pairing };
}

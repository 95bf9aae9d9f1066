/**
 * What a Seer gate is made of, and its checks.
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
import type { DType } from "../../core/dtype.ts";
import { checkOptions } from "../../core/options.ts";
import type { GpuTensor } from "../../gpu/mod.ts";
import {
  describeTensor,
  type HostBits,
  type HostTensor,
} from "../../ops/tensors.ts";
import {
  checkHeads,
  type GateHeads,
  gateRotary,
  gateSizes,
  type SeerRotary,
  type WeightSizes,
} from "./gate_sizes.ts";
import type { SeerWeights } from "./weights.ts";

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
   * 2 by default. Of each call: a prompt that comes in chunks has them in every
   * chunk. Not while decoding, where a block is one query.
   */
  readonly denseRows?: number;
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
export interface SeerShape extends GateHeads, WeightSizes {
  /** Storage of the weights. */
  readonly weights: SeerWeights<DType>;
  readonly block: number;
  readonly rule: SeerRule;
  readonly denseRows: number;
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
  fallback: "wrap what select() gives in withFallback()",
  below: "wrap what select() gives in withFallback()",
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
  const { weights, queryHeads, kvHeads, block = 64, denseRows = 2 } = options;
  checkHeads({ queryHeads, kvHeads });
  checkInteger("block", block, 1, 2 ** 15);
  checkInteger("denseRows", denseRows, 0);
  checkBoolean("causal", options.causal);
  const { layer } = options;
  if (layer !== undefined) checkInteger("layer", layer, 0);
  return {
    queryHeads,
    kvHeads,
    ...gateSizes(
      weights,
      { queryHeads, kvHeads },
      (name, tensor) => describeTensor(name, tensor).shape,
    ),
    weights: dtypesOf(weights),
    block,
    rule: ruleOf(options),
    denseRows,
    causal: options.causal ?? true,
    rotary: gateRotary(options.rotary),
    layer,
  };
}

function dtypesOf(
  { key, query }: SeerGateOptions["weights"],
): SeerWeights<DType> {
  const dtypeOf = (name: string, tensor: typeof key) =>
    describeTensor(name, tensor).dtype;
  return {
    key: dtypeOf("weights.key", key),
    ...(query && { query: dtypeOf("weights.query", query) }),
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

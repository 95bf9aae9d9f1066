/**
 * What a distillation is told, and its checks.
 *
 * @module
 */

import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkOneOf,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import { checkOptions } from "../../../core/options.ts";
import type { HostTensor } from "../../../ops/tensors.ts";
import type { SeerWeights } from "../weights.ts";
import type { GateRotary, GateShape } from "./gradient.ts";
import { float32 } from "./pooled.ts";

/**
 * A gate that learns, and how it is held against what it learns.
 *
 * @category Policies
 */
export interface SeerDistillationOptions {
  /** Where it begins; see {@linkcode initialSeerWeights}. They are copied. */
  readonly weights: SeerWeights<HostTensor>;
  /** Query heads of the layer. */
  readonly queryHeads: number;
  /** Its key and value heads. */
  readonly kvHeads: number;
  /** Tokens of a block, of queries and of keys; 64 by default. */
  readonly block?: number;
  /** Whether a block of queries sees no later block of keys; it does by default. */
  readonly causal?: boolean;
  /** How gate rows are rotated; `false`: not at all. */
  readonly rotary?: Partial<GateRotary> | false;
  /**
   * The part of each sequence's rows of blocks, from the first on, that do not
   * count, in `[0, 1)`; 1/4 by default, as in the paper's code: they have few
   * blocks to choose from.
   */
  readonly skip?: number;
}

const KNOWN = [
  "weights",
  "queryHeads",
  "kvHeads",
  "block",
  "causal",
  "rotary",
  "skip",
];

const HINTS = {
  blockSize: "write block",
  numHeads: "write queryHeads",
  numKeyValueHeads: "write kvHeads",
  headDim: "it is that of weights.key",
  ropeTheta: "write rotary: { base }",
  lr: "give a rate to step()",
  rate: "give it to step()",
};

/**
 * The gate that options are about.
 *
 * @throws {TypeError} for wrong types and shapes
 * @throws {RangeError} for values out of range
 */
export function distillationShape(
  options: SeerDistillationOptions,
): GateShape {
  checkOptions("SeerDistillation", options, { known: KNOWN, hints: HINTS });
  const { queryHeads, kvHeads, block = 64, skip = 1 / 4 } = options;
  checkHeads(queryHeads, kvHeads);
  checkInteger("block", block, 1, 2 ** 15);
  checkBoolean("causal", options.causal);
  checkFinite("skip", skip);
  checkRange(skip >= 0 && skip < 1, "skip", "must be in [0, 1)", skip);
  return {
    queryHeads,
    kvHeads,
    ...sizesOf(options.weights, { queryHeads, kvHeads }),
    block,
    causal: options.causal ?? true,
    skip,
    rotary: rotaryOf(options.rotary),
  };
}

/** Throws unless kv heads divide query heads. */
export function checkHeads(queryHeads: number, kvHeads: number): void {
  checkInteger("queryHeads", queryHeads, 1, 2 ** 16);
  checkInteger("kvHeads", kvHeads, 1, queryHeads);
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
}

/** What weights say of a gate's sizes. */
function sizesOf(
  weights: SeerWeights<HostTensor>,
  { queryHeads, kvHeads }: Pick<GateShape, "queryHeads" | "kvHeads">,
): Pick<GateShape, "keyHeads" | "headDim" | "gateDim"> {
  checkOptions("weights", weights, {
    known: ["key", "query"],
    hints: { wk: "write key", wq: "write query" },
  });
  const { shape } = float32("weights.key", weights.key);
  const [heads, inputs, gateDim] = shape;
  checkType(
    shape.length === 3 && inputs > 0 && inputs % 3 === 0 && gateDim > 0,
    "weights.key.shape",
    "must be [heads, 3 headDim, gateDim]",
    shape,
  );
  const headDim = inputs / 3;
  const { query } = weights;
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
  const expected = [queryHeads, headDim, gateDim];
  checkType(
    query === undefined ||
      float32("weights.query", query).shape.join() === expected.join(),
    "weights.query.shape",
    `must be [queryHeads, headDim, gateDim], [${expected.join(", ")}]`,
    query?.shape,
  );
  return { keyHeads, headDim, gateDim };
}

function rotaryOf(
  rotary: SeerDistillationOptions["rotary"] = {},
): GateRotary | undefined {
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

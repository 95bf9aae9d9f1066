/**
 * What a distillation is told, and its checks.
 *
 * @module
 */

import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
} from "../../../core/check.ts";
import { checkOptions } from "../../../core/options.ts";
import type { HostTensor } from "../../../ops/tensors.ts";
import {
  checkHeads,
  gateRotary,
  gateSizes,
  type SeerRotary,
} from "../gate_sizes.ts";
import type { SeerWeights } from "../weights.ts";
import type { GateShape } from "./gradient.ts";
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
  readonly rotary?: SeerRotary | false;
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
  checkHeads({ queryHeads, kvHeads });
  checkInteger("block", block, 1, 2 ** 15);
  checkBoolean("causal", options.causal);
  checkFinite("skip", skip);
  checkRange(skip >= 0 && skip < 1, "skip", "must be in [0, 1)", skip);
  return {
    queryHeads,
    kvHeads,
    ...gateSizes(
      options.weights,
      { queryHeads, kvHeads },
      (name, tensor) => float32(name, tensor).shape,
    ),
    block,
    causal: options.causal ?? true,
    skip,
    rotary: gateRotary(options.rotary),
  };
}

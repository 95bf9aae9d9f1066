/**
 * The sizes of linear attention whose cost is asked for, with their defaults.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";
import { featureDim, type FeatureMap } from "../../core/features.ts";
import { checkOptions, type OptionHints } from "../../core/options.ts";

/**
 * Sizes of a dense problem of linear attention.
 *
 * @category Planning
 */
export interface LinearSizes {
  /** Sequences; default 1. */
  readonly batch?: number;
  /** T: tokens of a sequence. */
  readonly tokens: number;
  /** Query heads: a multiple or a divisor of the value heads; default 1. */
  readonly queryHeads?: number;
  /** Key heads, a divisor of the value heads; default as many as these. */
  readonly keyHeads?: number;
  /** Value heads, of which each has a state; default the query heads. */
  readonly valueHeads?: number;
  /** d: elements of a query or key row. */
  readonly headDim: number;
  /** e: elements of a value or output row; default d. */
  readonly valueHeadDim?: number;
  /** Log gates: one a token and head, or one a channel of it; default none. */
  readonly gates?: "head" | "channel";
  /** Whether the delta rule takes away what a key holds; default false. */
  readonly delta?: boolean;
  /** What stands in for the exponential; default none. Not with the others. */
  readonly featureMap?: FeatureMap;
  /** Whether outputs are divided by the sum of weights; default false. */
  readonly normalize?: boolean;
  /** Whether there is a state to begin with; default false. */
  readonly initialState?: boolean;
  /** Whether the last state is written; default false. */
  readonly returnState?: boolean;
}

/** Sizes without gaps. */
export interface FilledSizes {
  /** T. */
  readonly tokens: number;
  /** States: sequences x value heads. */
  readonly states: number;
  /** Query rows of a token that read one state. */
  readonly group: number;
  /** d. */
  readonly headDim: number;
  /** D: elements of a feature row. */
  readonly features: number;
  /** Multiplications that make a feature row. */
  readonly featureFlops: number;
  /** e. */
  readonly valueHeadDim: number;
  /** Columns of a state: e, and one for the normaliser. */
  readonly columns: number;
  /** Log gates of a token and state: 0, 1 or d. */
  readonly gates: number;
  /** Whether the delta rule holds. */
  readonly delta: boolean;
  /** Whether outputs are divided by the sum of weights. */
  readonly normalize: boolean;
  /** Multiplications that a score takes beside its dot product. */
  readonly scoreFlops: number;
  /** Whether there is a state to begin with. */
  readonly initialState: boolean;
  /** Whether the last state is written. */
  readonly returnState: boolean;
}

const KNOWN: readonly (keyof LinearSizes)[] = [
  "batch",
  "tokens",
  "queryHeads",
  "keyHeads",
  "valueHeads",
  "headDim",
  "valueHeadDim",
  "gates",
  "delta",
  "featureMap",
  "normalize",
  "initialState",
  "returnState",
];

const HINTS: OptionHints = {
  queries: "write tokens",
  sequenceLength: "write tokens",
  heads: "write queryHeads",
  kvHeads: "write keyHeads and valueHeads",
  decay: "write gates",
  beta: "write delta",
  rule: "write gates and delta",
};

/**
 * Checks sizes and fills in their defaults.
 *
 * @throws {TypeError} if one is unknown or of another type, or a feature map
 * comes with gates or the delta rule
 * @throws {RangeError} if one is out of range, or the heads do not divide
 */
export function filledSizes(sizes: LinearSizes): FilledSizes {
  checkOptions("sizes", sizes, { known: KNOWN, hints: HINTS });
  const { batch = 1, tokens, queryHeads = 1, headDim } = sizes;
  const { valueHeads = queryHeads, valueHeadDim = headDim } = sizes;
  const { keyHeads = valueHeads, gates, featureMap = "identity" } = sizes;
  checkInteger("sizes.batch", batch, 0);
  checkInteger("sizes.tokens", tokens, 0);
  checkInteger("sizes.queryHeads", queryHeads, 1);
  checkInteger("sizes.keyHeads", keyHeads, 1);
  checkInteger("sizes.valueHeads", valueHeads, 1);
  checkInteger("sizes.headDim", headDim, 1);
  checkInteger("sizes.valueHeadDim", valueHeadDim, 1);
  for (
    const name of [
      "delta",
      "normalize",
      "initialState",
      "returnState",
    ] as const
  ) checkBoolean(`sizes.${name}`, sizes[name]);
  checkType(
    gates === undefined || gates === "head" || gates === "channel",
    "sizes.gates",
    'must be "head" or "channel"; leave it out for none',
    gates,
  );
  checkRange(
    valueHeads % keyHeads === 0,
    "sizes.valueHeads",
    `must be a multiple of keyHeads (${keyHeads})`,
    valueHeads,
  );
  checkRange(
    queryHeads % valueHeads === 0 || valueHeads % queryHeads === 0,
    "sizes.queryHeads",
    `must be a multiple or a divisor of valueHeads (${valueHeads})`,
    queryHeads,
  );
  const { delta = false, normalize = false } = sizes;
  checkType(
    featureMap === "identity" || gates === undefined && !delta,
    "sizes.featureMap",
    "must not be given with gates or delta; leave these out",
    featureMap,
  );
  const features = featureMap === "taylor";
  return {
    tokens,
    states: batch * valueHeads,
    group: Math.max(1, queryHeads / valueHeads),
    headDim,
    features: featureDim(headDim, featureMap),
    // Every element once, and once more for a square's half.
    featureFlops: features ? headDim * (headDim + 5) / 2 : 0,
    valueHeadDim,
    columns: valueHeadDim + (normalize ? 1 : 0),
    gates: gates === undefined ? 0 : gates === "head" ? 1 : headDim,
    delta,
    normalize,
    // 1 + s (1 + s / 2).
    scoreFlops: features ? 2 : 0,
    initialState: sizes.initialState ?? false,
    returnState: sizes.returnState ?? false,
  };
}

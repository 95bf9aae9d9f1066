/**
 * What a plan of a layer of Gated Linear Attention is for.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { DType } from "../../core/dtype.ts";
import { checkOptions } from "../../core/options.ts";
import type {
  AnyTensor,
  LinearAttentionOptions,
  TensorShape,
} from "../../ops/mod.ts";
import { describeTensor } from "../../ops/tensors.ts";
import {
  type GlaConfig,
  type GlaSizes,
  glaSizes,
  type GlaWeights,
  glaWeightShapes,
} from "./sizes.ts";

/** What linear attention takes that the layer hands on. */
type Handed = Pick<
  LinearAttentionOptions<AnyTensor>,
  | "cuSeqlens"
  | "initialState"
  | "returnState"
  | "states"
  | "stateIndices"
  | "finalStateIndices"
  | "chunk"
  | "subChunk"
>;

/**
 * What a plan of a layer is for: `cuSeqlens`, states and chunks are those of
 * `linearAttention()`.
 *
 * @category Layers
 */
export interface GlaPlanOptions extends GlaConfig {
  /**
   * `[batch, sequence, hidden]`, or ragged `[tokens, hidden]` with `cuSeqlens`;
   * f32 or f16.
   */
  readonly input: AnyTensor;
  /** The storage type of all weights; f32 by default. */
  readonly weightType?: DType | undefined;
  /** Ragged: first token of each sequence, and the total at the end. */
  readonly cuSeqlens?: LinearAttentionOptions["cuSeqlens"];
  /** Of `[sequences, heads, headDim, valueHeadDim]`, f32. */
  readonly initialState?: AnyTensor;
  /** Whether the state that sequences end with is wanted. */
  readonly returnState?: boolean;
  /** Instead of both: a pool of states that is read and written in place. */
  readonly states?: AnyTensor;
  /** With `states`: the slot that each sequence begins with. */
  readonly stateIndices?: LinearAttentionOptions["stateIndices"];
  /** With `states`: the slot that its last state is written to. */
  readonly finalStateIndices?: LinearAttentionOptions["finalStateIndices"];
  /** Tokens of a chunk; 64 by default. */
  readonly chunk?: number;
  /** Tokens of a sub-chunk; 16 by default. */
  readonly subChunk?: number;
}

/** Options, checked. */
export interface GlaProblem {
  readonly sizes: GlaSizes;
  readonly input: TensorShape;
  readonly weights: GlaWeights<TensorShape>;
  /** What is computed on the way, each as rows of the input's tokens. */
  readonly activations: GlaActivationsOf<TensorShape>;
  /** The options of linear attention. */
  readonly attention: LinearAttentionOptions<AnyTensor>;
}

/**
 * What a layer computes on its way; all but the log gates have the input's type.
 *
 * @category Layers
 */
export interface GlaActivationsOf<T> {
  /** `[.., heads, headDim]`. */
  readonly query: T;
  /** `[.., heads, headDim]`. */
  readonly key: T;
  /** `[.., heads, valueHeadDim]`. */
  readonly value: T;
  /** `[.., gateRank]`. */
  readonly low: T;
  /** `[.., heads, headDim]`: what gates are the logistic of. */
  readonly gateInput: T;
  /** `[.., heads, headDim]`, f32: log gates. */
  readonly decay: T;
  /** `[.., heads, valueHeadDim]`: what linear attention gives. */
  readonly mixed: T;
  /** `[.., heads, valueHeadDim]`: that, normalised. */
  readonly normed: T;
  /** `[.., heads, valueHeadDim]`: what the output gate is the swish of. */
  readonly outputGate: T;
  /** `[.., heads, valueHeadDim]`: what the last projection takes. */
  readonly gated: T;
}

const HANDED: Readonly<Record<keyof Handed, true>> = {
  cuSeqlens: true,
  initialState: true,
  returnState: true,
  states: true,
  stateIndices: true,
  finalStateIndices: true,
  chunk: true,
  subChunk: true,
};

const CONFIG: Readonly<Record<keyof GlaConfig, true>> = {
  hidden: true,
  heads: true,
  expandKey: true,
  expandValue: true,
  gateRank: true,
  normalizer: true,
  eps: true,
};

const HINTS = {
  hiddenSize: "write hidden",
  numHeads: "write heads",
  expandK: "write expandKey",
  expandV: "write expandValue",
  gateLowRankDim: "write gateRank",
  gateLogitNormalizer: "write normalizer",
  normEps: "write eps",
};

/** Options of a layer, checked; `owner` is whose they are, for messages. */
export function glaProblem(
  owner: string,
  options: GlaPlanOptions,
): GlaProblem {
  checkOptions(owner, options, {
    known: [
      "input",
      "weightType",
      ...Object.keys(CONFIG),
      ...Object.keys(HANDED),
    ],
    hints: HINTS,
  });
  const { weightType = "f32" } = options;
  checkType(
    weightType === "f32" || weightType === "f16",
    "weightType",
    'must be "f32" or "f16"',
    weightType,
  );
  const sizes = glaSizes(options);
  const { hidden, heads, headDim, valueHeadDim, gateRank } = sizes;
  checkType(options.input, "input", "must be given", options.input);
  const { dtype, shape } = describeTensor("input", options.input);
  const ragged = options.cuSeqlens !== undefined;
  checkType(
    shape.length === (ragged ? 2 : 3) && shape.at(-1) === hidden,
    "input.shape",
    ragged
      ? `must be [tokens, ${hidden}], as there are cuSeqlens`
      : `must be [batch, sequence, ${hidden}]; give cuSeqlens with [tokens, ${hidden}]`,
    shape,
  );
  const tokens = shape.slice(0, -1);
  const rows = (...row: number[]): TensorShape => ({
    dtype,
    shape: [...tokens, ...row],
  });
  const [keys, values] = [rows(heads, headDim), rows(heads, valueHeadDim)];
  const gates: TensorShape = { dtype: "f32", shape: keys.shape };
  const handed = Object.fromEntries(
    Object.entries(options).filter(([name, value]) =>
      Object.hasOwn(HANDED, name) && value !== undefined
    ),
  ) as Handed;
  const shapes = Object.entries(glaWeightShapes(options));
  return {
    sizes,
    input: { dtype, shape },
    weights: Object.fromEntries(
      shapes.map(([name, shape]) => [name, { dtype: weightType, shape }]),
    ) as unknown as GlaWeights<TensorShape>,
    activations: {
      query: keys,
      key: keys,
      value: values,
      low: rows(gateRank),
      gateInput: keys,
      decay: gates,
      mixed: values,
      normed: values,
      outputGate: values,
      gated: values,
    },
    attention: {
      ...handed,
      query: keys,
      key: keys,
      value: values,
      decay: gates,
    },
  };
}

/**
 * The options of `linearAttention()`, their names, and what names of other
 * libraries are here.
 *
 * @module
 */

import type { FeatureMap } from "../../../core/features.ts";
import { checkOptions, type OptionHints } from "../../../core/options.ts";
import type { GpuTensor } from "../../../gpu/mod.ts";
import type { Indices } from "../../attention/options/spans.ts";
import type { Layout } from "../../attention/problem.ts";
import type { StridedTensor } from "../../strided.ts";
import type { HostBits, HostTensor } from "../../tensors.ts";
import type { LinearForm } from "./forms.ts";
import type { LinearPrefix } from "./prefix.ts";
import type { UpdateRule } from "./rules.ts";

/**
 * What linear attention computes; `T` is where its tensors are.
 *
 * @category Attention
 */
export interface LinearAttentionOptions<
  T = GpuTensor | HostTensor | HostBits | StridedTensor,
> {
  /**
   * `[batch, sequence, queryHeads, headDim]`, or ragged
   * `[tokens, queryHeads, headDim]` with `cuSeqlens`. Query heads are a multiple
   * of the value's (a state serves several queries), or a divisor (a query reads
   * several states). A slice or a transposed view is
   * `{ tensor, shape, strides, offset }`, as of key and value.
   */
  readonly query: T;
  /** `[.., keyHeads, headDim]`; the value's heads are a multiple of its. */
  readonly key: T;
  /** `[.., valueHeads, valueHeadDim]`: one state a head. */
  readonly value: T;
  /**
   * The order of dimensions of dense queries, keys, values and outputs:
   * `"bshd"` (default) as above, or `"bhsd"`: `[batch, heads, sequence, dim]`.
   * Of `decay` and `beta` tokens are before heads in any case.
   */
  readonly layout?: Layout;
  /** Ragged: first token of each sequence, and the total at the end. */
  readonly cuSeqlens?: Indices;
  /**
   * Log gates, at most 0, in f32 or as the query: `[.., valueHeads, headDim]`
   * for each channel of a key (GLA), `[.., valueHeads]` for a whole state,
   * `[valueHeads]` for all tokens alike (RetNet, Lightning), or
   * `[valueHeads, headDim]`. Dimensions may be 1 where all are alike. On the
   * device what is above 0 is not noticed: see {@linkcode checkLogGates}.
   */
  readonly decay?: T;
  /** Of the delta rules: `[.., valueHeads]` or `[.., 1]`, f32 or as the query. */
  readonly beta?: T;
  /** How a token changes the state; by default as `decay` and `beta` say. */
  readonly rule?: UpdateRule;
  /** Factor of outputs; `1 / sqrt(headDim)` by default. */
  readonly scale?: number;
  /**
   * The state that sequences begin with, `[sequences, valueHeads, headDim,
   * valueHeadDim]`, f32; zeros by default. With `featureMap: "taylor"` it has
   * `1 + headDim + headDim (headDim + 1) / 2` rows (`featureDim()` of
   * `/planning`), and with `normalize` one more column, the sums of features.
   */
  readonly initialState?: T;
  /** Whether the state that sequences end with is wanted. */
  readonly returnState?: boolean;
  /**
   * Instead of both: a pool of states on the device, `[slots, valueHeads,
   * headDim, valueHeadDim]`, f32, that is read and written in place.
   */
  readonly states?: T;
  /** With `states`: the slot that each sequence begins with, -1 for zeros. */
  readonly stateIndices?: Indices;
  /**
   * With `states`: the slot that each sequence's last state is written to, -1
   * for none; `stateIndices` by default.
   */
  readonly finalStateIndices?: Indices;
  /**
   * Tokens of a chunk, a multiple of `subChunk`; 64 by default, and 128 with a
   * feature map, as states are larger.
   */
  readonly chunk?: number;
  /** Tokens of a sub-chunk, a multiple of 4; 16 by default. */
  readonly subChunk?: number;
  /**
   * By chunks, or token by token; by default each sequence by its own length:
   * `"recurrent"` up to 16 tokens, but for features of more than 18 elements,
   * whose states are too large for it.
   */
  readonly form?: LinearForm;
  /**
   * What queries and keys become; `"identity"` by default. `"taylor"` is
   * BASED's, whose weights `1 + s + s^2 / 2` with `s = scale <q, k>` are at least
   * a half. It takes a scale above 0, no `beta`, and gates of whole states.
   */
  readonly featureMap?: FeatureMap;
  /**
   * Divide outputs by the sum of their weights, plus `eps`, which is above 0;
   * BASED's code has 1e-12 in one place and 1e-6 in another. Weights of features
   * are positive; those of queries and keys as they are may add up to anything.
   */
  readonly normalize?: { readonly eps: number };
  /**
   * A prefix that every token sees whole, beside the tokens up to itself: its
   * keys and values are added to the state that sequences begin with (JRT-RNN).
   * By the rule `linear` only.
   */
  readonly prefix?: LinearPrefix<T>;
}

/**
 * What {@linkcode linearAttention} takes besides the problem.
 *
 * @category Attention
 */
export interface LinearRunOptions {
  /** Checked before anything is submitted and before results are read. */
  readonly signal?: AbortSignal;
}

type Names<O> = Readonly<Record<keyof Required<O>, true>>;

// Records, so that one that is missing does not pass the type check.
const PROBLEM: Names<LinearAttentionOptions> = {
  query: true,
  key: true,
  value: true,
  layout: true,
  cuSeqlens: true,
  decay: true,
  beta: true,
  rule: true,
  scale: true,
  initialState: true,
  returnState: true,
  states: true,
  stateIndices: true,
  finalStateIndices: true,
  chunk: true,
  subChunk: true,
  form: true,
  featureMap: true,
  normalize: true,
  prefix: true,
};

const RUN: Names<LinearRunOptions> = { signal: true };

const GATES = "write decay, log gates of at most 0";

/** By the names of flash-linear-attention, ONNX and others. */
const HINTS: OptionHints = {
  q: "write query",
  k: "write key",
  v: "write value",
  queries: "write query",
  keys: "write key",
  values: "write value",
  g: GATES,
  gk: GATES,
  gates: GATES,
  gate: GATES,
  logDecay: GATES,
  logGates: GATES,
  gGamma: GATES,
  slopes: "write decay: minus the slopes, of shape [valueHeads]",
  updateRule: "write rule",
  pastState: "write initialState",
  h0: "write initialState",
  outputFinalState: "write returnState",
  outputState: "write returnState",
  chunkSize: "write chunk",
  subChunkSize: "write subChunk",
  cuSeqlensQ: "write cuSeqlens",
  offsets: "write cuSeqlens",
  headFirst: 'write layout: "bhsd"',
  causal: "leave it out: linear attention always is",
  isCausal: "leave it out: linear attention always is",
  softmaxScale: "write scale",
  eps: "write normalize: { eps }",
  qNumHeads: "leave it out: the shapes say it",
  kvNumHeads: "leave it out: the shapes say it",
  cache: "write states, with stateIndices",
  abortSignal: "write signal",
  prefixKey: "write prefix: { key, value, lengths }",
  encoderKey: "write prefix: { key, value, lengths }",
  prefixLength: "write prefix: { key, value, lengths }",
  output: "give it to encode() of a plan (planLinearAttention())",
};

/**
 * Throws unless each of `options` is one of `linearAttention()`'s.
 *
 * @throws {TypeError} if one is not; the message says what to write
 */
export function checkLinearOptions(options: unknown): void {
  checkOptions("linearAttention()", options, {
    known: [...Object.keys(PROBLEM), ...Object.keys(RUN)],
    hints: HINTS,
  });
}

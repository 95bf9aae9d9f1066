/**
 * The names of all options of `attention()`, and what names of other libraries
 * are here.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import {
  checkOptions,
  type KnownOptions,
  type OptionHints,
} from "../../../core/options.ts";
import type { AttentionOptions } from "./attention_options.ts";
import type { PlanChoices } from "./choices.ts";

type Names<O> = Readonly<Record<keyof Required<O>, true>>;

// Records, so that one that is missing does not pass the type check.
const PROBLEM: Names<AttentionOptions> = {
  query: true,
  key: true,
  value: true,
  qkv: true,
  kvHeads: true,
  layout: true,
  outputStrides: true,
  outputOffset: true,
  cuSeqlens: true,
  cuSeqlensKey: true,
  keyLengths: true,
  blockTable: true,
  cache: true,
  sequences: true,
  layer: true,
  group: true,
  scale: true,
  causal: true,
  queryOffset: true,
  window: true,
  softcap: true,
  alibi: true,
  attnMask: true,
  scoreMod: true,
  maskMod: true,
  blockMask: true,
  select: true,
  dropout: true,
  returnLse: true,
  blockScores: true,
};

const RUN: Names<
  PlanChoices & { signal?: AbortSignal; forBackward?: boolean }
> = {
  algorithm: true,
  invariant: true,
  splits: true,
  sharedPrefix: true,
  workers: true,
  tiles: true,
  signal: true,
  forBackward: true,
};

const KNOWN = [...Object.keys(PROBLEM), ...Object.keys(RUN)];

const DROPOUT = "write dropout: { rate, seed }";
const MASK =
  "write attnMask: { data, shape }, booleans (true where a key is seen) or floats to add";
const LAYOUT = 'write layout: "bshd" or "bhsd"';
const HEADS =
  "leave it out: the shapes say it, and where there is qkv, kvHeads";
const KERNEL = "kernels are chosen by algorithm, splits and tiles";
const OUTPUT =
  "give it to encode() of a plan (planAttention()), which writes to it";
const SINK =
  "sinks that are logits are not in this version; sinkWindow() keeps first keys";

/**
 * By the names of PyTorch, flash-attn, xFormers, ONNX, JAX and FlexAttention;
 * `is_causal` counts as `isCausal`.
 */
const HINTS: OptionHints = {
  q: "write query",
  queries: "write query",
  k: "write key",
  keys: "write key",
  v: "write value",
  values: "write value",
  kv: "give key and value each",
  packedQkv: "write qkv",
  strides: "write query: { tensor, shape, strides, offset }; key and value too",
  queryStrides: "write query: { tensor, shape, strides, offset }",
  keyStrides: "write key: { tensor, shape, strides, offset }",
  valueStrides: "write value: { tensor, shape, strides, offset }",
  inputLayout: LAYOUT,
  qkvFormat: LAYOUT,
  tensorLayout: LAYOUT,
  dataFormat: LAYOUT,
  isCausal: "write causal",
  causalMask: "write causal: true",
  unidirectional: "write causal",
  dropoutP: DROPOUT,
  dropoutRate: DROPOUT,
  dropoutSeed: DROPOUT,
  training: "leave it out: dropout is where it is given",
  mask: MASK,
  attentionMask: MASK,
  attnBias: MASK,
  bias: MASK,
  policy: "write select",
  sparsity: "write select, a policy",
  keyPaddingMask:
    "write keyLengths, one a sequence, or attnMask of [batch, 1, 1, keys]",
  alibiSlopes: "write alibi",
  softmaxScale: "write scale",
  smScale: "write scale",
  logitsSoftCap: "write softcap",
  attnLogitSoftcapping: "write softcap",
  windowSize: "write window: { left, right }",
  slidingWindow: "write window: { left }",
  localWindowSize: "write window: { left, right }",
  enableGqa: "leave it out: heads may always share keys",
  numHeads: HEADS,
  qNumHeads: HEADS,
  kvNumHeads: HEADS,
  numKvHeads: HEADS,
  headDim: HEADS,
  embedDim: HEADS,
  cuSeqlensQ: "write cuSeqlens",
  cuSeqlensK: "write cuSeqlensKey",
  maxSeqlenQ: "leave it out: cuSeqlens says it",
  maxSeqlenK: "leave it out: cuSeqlensKey says it",
  maxSeqlen: "leave it out: cuSeqlens says it",
  sequsedK: "write keyLengths",
  cacheSeqlens: "write keyLengths, which count the new keys too",
  nonpadKvSeqlen: "write keyLengths",
  seqlens: "write keyLengths",
  pageTable: "write blockTable",
  blockTables: "write blockTable",
  kvCache: "write cache",
  kCache: "write key, or cache and sequences",
  vCache: "write value, or cache and sequences",
  pastKey: "write key with the past in it, or cache and sequences",
  pastValue: "write value with the past in it, or cache and sequences",
  qkMatmulOutputMode: "leave it out: scores are never formed",
  softmaxPrecision: "leave it out: softmax is computed in float32",
  poolAttnWeights: "write blockScores: { block }",
  returnAttnProbs: "write returnLse; probabilities are never formed",
  returnSoftmaxLse: "write returnLse",
  needWeights: "write returnLse; probabilities are never formed",
  deterministic: "leave it out: results always are, see invariant",
  numSplits: "write splits",
  backend: KERNEL,
  kernelOptions: KERNEL,
  headSink: SINK,
  sAux: SINK,
  sinks: SINK,
  sink: SINK,
  abortSignal: "write signal",
  output: OUTPUT,
  out: OUTPUT,
  lse: `write returnLse; for a tensor of your own, ${OUTPUT}`,
  startPos: "write queryOffset",
  position: "write queryOffset",
  offset: "write queryOffset",
};

/** The options of `attention()`, and what names of other libraries mean. */
export const ATTENTION_OPTIONS: KnownOptions = { known: KNOWN, hints: HINTS };

/**
 * Throws unless each of `options` is one of `attention()`'s.
 *
 * @throws {TypeError} If one is not; the message says what to write.
 */
export function checkAttentionOptions(options: unknown): void {
  checkOptions("attention()", options, ATTENTION_OPTIONS);
}

const WINDOW_HINTS: OptionHints = {
  before: "write left",
  after: "write right",
  size: "write left, and right: 0 unless causal",
};

/**
 * Throws unless `window` is `{ left, right }`, each a side or left out.
 *
 * @throws {TypeError} for another form
 * @throws {RangeError} for a side that is not an integer >= 0
 */
export function checkWindow(
  window: unknown,
): asserts window is { readonly left?: number; readonly right?: number } {
  checkType(
    typeof window === "object" && window !== null && !Array.isArray(window),
    "window",
    "must be { left, right }, how many keys are seen before and after",
    window,
  );
  checkOptions("window", window, {
    known: ["left", "right"],
    hints: WINDOW_HINTS,
  });
  for (const [side, value] of Object.entries(window)) {
    checkType(
      typeof value === "number",
      `window.${side}`,
      "must be an integer; leave it out for no bound",
      value,
    );
    checkRange(
      Number.isInteger(value) && value >= 0 && value < 2 ** 31,
      `window.${side}`,
      "must be an integer >= 0; leave it out for no bound",
      value,
    );
  }
}

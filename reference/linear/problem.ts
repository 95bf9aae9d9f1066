/**
 * One problem of linear attention, and where each of its numbers lies.
 *
 * Layouts, all row-major, with the tokens of all sequences one after another:
 * query `[tokens, queryHeads, headDim]`, key `[tokens, keyHeads, headDim]`,
 * value `[tokens, valueHeads, valueHeadDim]`, output
 * `[tokens, outputHeads, valueHeadDim]`, states
 * `[sequences, valueHeads, headDim, valueHeadDim]`. A dense batch
 * `[batch, sequence, heads, dim]` is the case of equal lengths.
 *
 * Each value head has a state. Key heads are shared by equal numbers of states;
 * queries either share states (`queryHeads` a multiple of `valueHeads`) or are
 * shared by them (a divisor), and there are as many output heads as the larger
 * of the two.
 *
 * @module
 */

import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../src/core/check.ts";
import { checkLength } from "../problem.ts";
import { checkCuSeqlens } from "../ragged.ts";

/**
 * How a token changes the state: `linear` adds `k v^T`, `gated` lets the state
 * decay before, `delta` adds `beta k r^T` with what the state does not yet
 * recall of the value, `r = v - h^T k`, and `gated_delta` does both.
 *
 * @category Linear attention
 */
export type LinearRule = "linear" | "gated" | "delta" | "gated_delta";

/**
 * What log gates are given for: each token, value head and channel
 * (`[tokens, valueHeads, headDim]`), each token and value head
 * (`[tokens, valueHeads]`), or the same for all tokens (`[valueHeads, headDim]`
 * and `[valueHeads]`).
 *
 * @category Linear attention
 */
export type DecayShape =
  | "channel"
  | "head"
  | "constant_channel"
  | "constant_head";

/**
 * What a problem of linear attention has in every layout.
 *
 * @category Linear attention
 */
export interface LinearHeadOptions {
  /** Query heads: a multiple or a divisor of `valueHeads`. */
  queryHeads: number;
  /** Key heads: a divisor of `valueHeads`. */
  keyHeads: number;
  /** Value heads; each has a state. */
  valueHeads: number;
  /** Elements of one query or key vector. */
  headDim: number;
  /** Elements of one value vector; default `headDim`. */
  valueHeadDim?: number | undefined;
  /** Factor on the output; default `1 / sqrt(headDim)`. */
  scale?: number | undefined;
  /** Default: what `decay` and `beta` say; another is refused. */
  rule?: LinearRule | undefined;
}

/**
 * One problem of linear attention: either `batch` and `sequence`, or
 * `cuSeqlens`.
 *
 * @category Linear attention
 */
export interface LinearAttentionProblem extends LinearHeadOptions {
  /** `[tokens, queryHeads, headDim]`. */
  query: ArrayLike<number>;
  /** `[tokens, keyHeads, headDim]`. */
  key: ArrayLike<number>;
  /** `[tokens, valueHeads, valueHeadDim]`. */
  value: ArrayLike<number>;
  /** Sequences of equal length. */
  batch?: number | undefined;
  /** Tokens of each of them. */
  sequence?: number | undefined;
  /** Where each sequence starts, and where the last one ends. */
  cuSeqlens?: ArrayLike<number> | undefined;
  /** Log gates: finite and at most 0. */
  decay?: ArrayLike<number> | undefined;
  /** What they are given for; needed where there are any. */
  decayShape?: DecayShape | undefined;
  /** How much of a value is written, `[tokens, valueHeads]` or `[tokens, 1]`. */
  beta?: ArrayLike<number> | undefined;
  /** `[sequences, valueHeads, headDim, valueHeadDim]`; default 0. */
  initialState?: ArrayLike<number> | undefined;
}

/**
 * What linear attention gives, in float64.
 *
 * @category Linear attention
 */
export interface LinearAttentionResult {
  /** `[tokens, outputHeads, valueHeadDim]`. */
  output: Float64Array;
  /**
   * The state after each sequence's last token,
   * `[sequences, valueHeads, headDim, valueHeadDim]`.
   */
  state: Float64Array;
}

/** The tokens of one sequence. */
export interface SequenceRange {
  /** Its first token. */
  readonly first: number;
  /** One past its last token. */
  readonly end: number;
}

/** A problem's defaults filled in, and where its vectors start. */
export interface LinearGeometry {
  /** How a token changes the state. */
  readonly rule: LinearRule;
  /** Whether the rule is a delta rule. */
  readonly delta: boolean;
  /** Whether the state decays. */
  readonly gated: boolean;
  /** Elements of one value vector. */
  readonly valueHeadDim: number;
  /** Elements of one state. */
  readonly stateSize: number;
  /** Factor on the output. */
  readonly scale: number;
  /** Output heads. */
  readonly outputHeads: number;
  /** Tokens of all sequences. */
  readonly tokens: number;
  /** Where each sequence is. */
  readonly sequences: readonly SequenceRange[];
  /** The output heads that read the state of value head `s`. */
  readersOf(s: number): readonly number[];
  /** Where the query vector of a token for output head `h` starts. */
  queryAt(token: number, h: number): number;
  /** Where the key vector of a token for value head `s` starts. */
  keyAt(token: number, s: number): number;
  /** Where the value vector of a token for value head `s` starts. */
  valueAt(token: number, s: number): number;
  /** Where the output vector of a token for output head `h` starts. */
  outputAt(token: number, h: number): number;
  /** Where the state of value head `s` of sequence `n` starts. */
  stateAt(n: number, s: number): number;
  /** Where the log gate of a channel stands; -1 without decay. */
  gateAt(token: number, s: number, channel: number): number;
  /** Where beta stands; -1 without beta. */
  betaAt(token: number, s: number): number;
}

/**
 * Checks a problem and fills in its defaults.
 *
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 */
export function linearGeometryOf(
  problem: LinearAttentionProblem,
): LinearGeometry {
  checkLinearHeads(problem);
  const { queryHeads, keyHeads, valueHeads, headDim } = problem;
  const valueHeadDim = problem.valueHeadDim ?? headDim;
  const stateSize = headDim * valueHeadDim;
  const outputHeads = Math.max(queryHeads, valueHeads);
  const sequences = sequencesOf(problem);
  const tokens = sequences.at(-1)?.end ?? 0;
  checkArrays(problem, { tokens, sequences: sequences.length, valueHeadDim });
  const rule = ruleOf(problem);

  const queryHead = (h: number) => Math.floor(h * queryHeads / outputHeads);
  const keyHead = (s: number) => Math.floor(s * keyHeads / valueHeads);
  const readers = outputHeads / valueHeads;
  const betaHeads = problem.beta?.length === tokens ? 1 : valueHeads;
  return {
    rule,
    delta: rule === "delta" || rule === "gated_delta",
    gated: rule === "gated" || rule === "gated_delta",
    valueHeadDim,
    stateSize,
    scale: problem.scale ?? 1 / Math.sqrt(headDim),
    outputHeads,
    tokens,
    sequences,
    readersOf: (s) =>
      Array.from({ length: readers }, (_, n) => s * readers + n),
    queryAt: (token, h) => (token * queryHeads + queryHead(h)) * headDim,
    keyAt: (token, s) => (token * keyHeads + keyHead(s)) * headDim,
    valueAt: (token, s) => (token * valueHeads + s) * valueHeadDim,
    outputAt: (token, h) => (token * outputHeads + h) * valueHeadDim,
    stateAt: (n, s) => (n * valueHeads + s) * stateSize,
    gateAt: gateIndex(problem),
    betaAt: (token, s) =>
      problem.beta ? token * betaHeads + (betaHeads === 1 ? 0 : s) : -1,
  };
}

/** The `length` elements of an array from one on. */
export function vectorAt(
  array: ArrayLike<number>,
  at: number,
  length: number,
): Float64Array {
  return Float64Array.from({ length }, (_, t) => array[at + t]);
}

/** Where the log gate of a token, value head and channel stands. */
function gateIndex(
  { decay, decayShape, valueHeads, headDim }: LinearAttentionProblem,
): LinearGeometry["gateAt"] {
  if (decay === undefined) return () => -1;
  switch (decayShape!) {
    case "channel":
      return (token, s, t) => (token * valueHeads + s) * headDim + t;
    case "head":
      return (token, s) => token * valueHeads + s;
    case "constant_channel":
      return (_, s, t) => s * headDim + t;
    case "constant_head":
      return (_, s) => s;
  }
}

/** The shape of the log gates. */
export function decayShapeOf(
  { decayShape, valueHeads, headDim }: LinearAttentionProblem,
  tokens: number,
): number[] {
  switch (decayShape!) {
    case "channel":
      return [tokens, valueHeads, headDim];
    case "head":
      return [tokens, valueHeads];
    case "constant_channel":
      return [valueHeads, headDim];
    case "constant_head":
      return [valueHeads];
  }
}

/** The rule that decay and beta say. */
function ruleOf(
  { decay, beta, rule }: LinearAttentionProblem,
): LinearRule {
  const said = beta === undefined
    ? decay === undefined ? "linear" : "gated"
    : decay === undefined
    ? "delta"
    : "gated_delta";
  checkType(
    rule === undefined || rule === said,
    "rule",
    `must be "${said}" ${decay ? "with" : "without"} decay and ` +
      `${beta ? "with" : "without"} beta`,
    rule,
  );
  return said;
}

/**
 * Checks the options that every layout shares.
 *
 * @throws {TypeError} if a number is of another type.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 */
function checkLinearHeads(options: LinearHeadOptions): void {
  const { queryHeads, keyHeads, valueHeads, headDim, valueHeadDim, scale } =
    options;
  checkInteger("queryHeads", queryHeads, 1);
  checkInteger("keyHeads", keyHeads, 1);
  checkInteger("valueHeads", valueHeads, 1);
  checkInteger("headDim", headDim, 1);
  if (valueHeadDim !== undefined) {
    checkInteger("valueHeadDim", valueHeadDim, 1);
  }
  if (scale !== undefined) checkFinite("scale", scale);
  checkRange(
    valueHeads % keyHeads === 0,
    "keyHeads",
    `must divide valueHeads (${valueHeads})`,
    keyHeads,
  );
  checkRange(
    queryHeads % valueHeads === 0 || valueHeads % queryHeads === 0,
    "queryHeads",
    `must be a multiple or a divisor of valueHeads (${valueHeads})`,
    queryHeads,
  );
}

function sequencesOf(problem: LinearAttentionProblem): SequenceRange[] {
  const { batch, sequence, cuSeqlens } = problem;
  if (cuSeqlens !== undefined) {
    const rule = "must not stand beside cuSeqlens";
    checkType(batch === undefined, "batch", rule, batch);
    checkType(sequence === undefined, "sequence", rule, sequence);
    const count = checkCuSeqlens("cuSeqlens", cuSeqlens);
    return Array.from({ length: count }, (_, n) => ({
      first: cuSeqlens[n],
      end: cuSeqlens[n + 1],
    }));
  }
  checkInteger("batch", batch, 0);
  checkInteger("sequence", sequence, 0);
  return Array.from({ length: batch }, (_, n) => ({
    first: n * sequence,
    end: (n + 1) * sequence,
  }));
}

function checkArrays(
  problem: LinearAttentionProblem,
  { tokens, sequences, valueHeadDim }: {
    tokens: number;
    sequences: number;
    valueHeadDim: number;
  },
): void {
  const { queryHeads, keyHeads, valueHeads, headDim } = problem;
  const { decay, decayShape, beta, initialState } = problem;
  checkLength("query", problem.query, [tokens, queryHeads, headDim]);
  checkLength("key", problem.key, [tokens, keyHeads, headDim]);
  checkLength("value", problem.value, [tokens, valueHeads, valueHeadDim]);
  checkType(
    decay === undefined || decayShape !== undefined,
    "decayShape",
    "must say what decay is given for",
    decayShape,
  );
  if (decay !== undefined) {
    checkLength("decay", decay, decayShapeOf(problem, tokens));
    checkLogGates(decay);
  }
  if (beta !== undefined && beta.length !== tokens) {
    checkLength("beta", beta, [tokens, valueHeads]);
  }
  if (initialState !== undefined) {
    const shape = [sequences, valueHeads, headDim, valueHeadDim];
    checkLength("initialState", initialState, shape);
  }
}

/** Checks that log gates are finite and at most 0. */
function checkLogGates(decay: ArrayLike<number>): void {
  for (let n = 0; n < decay.length; n++) {
    checkRange(
      Number.isFinite(decay[n]) && decay[n] <= 0,
      `decay[${n}]`,
      "must be a finite log gate, at most 0",
      decay[n],
    );
  }
}

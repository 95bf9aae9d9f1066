/**
 * Attention over sequences of different lengths, packed without padding:
 * sequence `b` owns the query tokens
 * `cuSeqlensQuery[b] <= t < cuSeqlensQuery[b + 1]`, and likewise its keys.
 * Each sequence attends to itself alone.
 *
 * @module
 */

import { checkInteger, checkType } from "../src/core/check.ts";
import { attention } from "./attention.ts";
import {
  checkHeads,
  checkLength,
  type HeadOptions,
  offsetOf,
  type ReferenceProblem,
  type ReferenceResult,
} from "./problem.ts";

/**
 * One ragged attention problem.
 *
 * @category Reference
 */
export interface RaggedAttentionProblem extends HeadOptions {
  /** `[queryTokens, queryHeads, headDim]`. */
  query: ArrayLike<number>;
  /** `[keyTokens, kvHeads, headDim]`. */
  key: ArrayLike<number>;
  /** `[keyTokens, kvHeads, valueHeadDim]`. */
  value: ArrayLike<number>;
  /** Where each sequence's queries start, then the end; `[batch + 1]`. */
  cuSeqlensQuery: ArrayLike<number>;
  /** Where each sequence's keys start, then the end; `[batch + 1]`. */
  cuSeqlensKey: ArrayLike<number>;
}

/**
 * Ragged attention in float64: one dense call for each sequence. The score and
 * mask functions receive the sequence's index as `batch`.
 *
 * @param problem Packed tensors and where each sequence starts.
 * @returns Output `[queryTokens, queryHeads, valueHeadDim]` and log-sum-exp
 * `[queryTokens, queryHeads]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if the sequences' starts decrease, or a size is out of
 * range.
 *
 * @example Sequences of one and two tokens
 * ```ts
 * import { raggedAttention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output } = raggedAttention({
 *   query: [0, 0, 0],
 *   key: [0, 0, 0],
 *   value: [5, 1, 3],
 *   cuSeqlensQuery: [0, 1, 3],
 *   cuSeqlensKey: [0, 1, 3],
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 * });
 * assertEquals([...output], [5, 2, 2]);
 * ```
 *
 * @category Reference
 */
export function raggedAttention(
  problem: RaggedAttentionProblem,
): ReferenceResult {
  const { parts, queryTokens, queryHeads, valueHeadDim } = sequencesOf(problem);
  const output = new Float64Array(queryTokens * queryHeads * valueHeadDim);
  const lse = new Float64Array(queryTokens * queryHeads);
  for (const { dense, firstQuery } of parts) {
    const one = attention(dense);
    output.set(one.output, firstQuery * queryHeads * valueHeadDim);
    lse.set(one.lse, firstQuery * queryHeads);
  }
  return { output, lse };
}

/** A sequence of a ragged problem as a dense one, and where it starts. */
export interface SequencePart {
  /** The problem of this sequence alone. */
  readonly dense: ReferenceProblem;
  /** Its first query token. */
  readonly firstQuery: number;
  /** Its first key token. */
  readonly firstKey: number;
}

/** A checked ragged problem, cut into its sequences. */
export interface Sequences {
  /** One dense problem a sequence. */
  readonly parts: SequencePart[];
  /** Query tokens of all. */
  readonly queryTokens: number;
  /** Key tokens of all. */
  readonly keyTokens: number;
  /** Query heads. */
  readonly queryHeads: number;
  /** Elements of one value vector. */
  readonly valueHeadDim: number;
}

/**
 * Cuts a ragged problem into a dense one for each sequence, whose functions
 * are given the sequence's index as `batch`.
 *
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if the sequences' starts decrease, or a size is out of
 * range.
 */
export function sequencesOf(problem: RaggedAttentionProblem): Sequences {
  checkHeads(problem);
  const { query, key, value, cuSeqlensQuery, cuSeqlensKey } = problem;
  const { queryHeads, kvHeads, headDim, score, mask, keep } = problem;
  const { valueHeadDim = headDim } = problem;
  const sequences = checkCuSeqlens("cuSeqlensQuery", cuSeqlensQuery);
  checkLength("cuSeqlensKey", cuSeqlensKey, [sequences + 1]);
  checkCuSeqlens("cuSeqlensKey", cuSeqlensKey);
  if (typeof problem.queryOffset === "object") {
    checkLength("queryOffset", problem.queryOffset, [sequences]);
  }
  const queryTokens = cuSeqlensQuery[sequences];
  const keyTokens = cuSeqlensKey[sequences];
  checkLength("query", query, [queryTokens, queryHeads, headDim]);
  checkLength("key", key, [keyTokens, kvHeads, headDim]);
  checkLength("value", value, [keyTokens, kvHeads, valueHeadDim]);

  const parts: SequencePart[] = [];
  for (let b = 0; b < sequences; b++) {
    const firstQuery = cuSeqlensQuery[b], endQuery = cuSeqlensQuery[b + 1];
    const firstKey = cuSeqlensKey[b], endKey = cuSeqlensKey[b + 1];
    const dense: ReferenceProblem = {
      queryHeads,
      kvHeads,
      headDim,
      valueHeadDim,
      scale: problem.scale,
      query: rows(query, firstQuery, endQuery, queryHeads * headDim),
      key: rows(key, firstKey, endKey, kvHeads * headDim),
      value: rows(value, firstKey, endKey, kvHeads * valueHeadDim),
      batch: 1,
      queryLength: endQuery - firstQuery,
      keyLength: endKey - firstKey,
      queryOffset: offsetOf(problem.queryOffset, b),
      score: score && ((s, _, h, i, j) => score(s, b, h, i, j)),
      mask: mask && ((_, h, i, j) => mask(b, h, i, j)),
      keep: keep && ((_, h, i, j) => keep(b, h, i, j)),
    };
    parts.push({ dense, firstQuery, firstKey });
  }
  return { parts, queryTokens, keyTokens, queryHeads, valueHeadDim };
}

/**
 * Checks the starts of ragged sequences: first 0, never decreasing.
 *
 * @returns The number of sequences.
 * @throws {TypeError} if it is no array of at least one number.
 * @throws {RangeError} if a start is below the one before it.
 */
export function checkCuSeqlens(
  name: string,
  cuSeqlens: ArrayLike<number>,
): number {
  const rule = "must have batch + 1 elements";
  checkType(cuSeqlens?.length >= 1, name, rule, cuSeqlens);
  checkInteger(`${name}[0]`, cuSeqlens[0], 0, 0);
  for (let b = 1; b < cuSeqlens.length; b++) {
    checkInteger(`${name}[${b}]`, cuSeqlens[b], cuSeqlens[b - 1]);
  }
  return cuSeqlens.length - 1;
}

/** Rows `first` to `end` (exclusive) of an array of rows of `width`. */
export function rows(
  array: ArrayLike<number>,
  first: number,
  end: number,
  width: number,
): Float64Array {
  const out = new Float64Array((end - first) * width);
  for (let n = 0; n < out.length; n++) out[n] = array[first * width + n];
  return out;
}

/**
 * Where the gradients of each sequence's keys and values are.
 *
 * @module
 */

import {
  type GradientRows,
  keysInOrder,
  outputShape,
  stridedKeys,
} from "../attention/rows.ts";
import type { AttentionProblem } from "../attention/problem.ts";

/** The keys of one sequence that have gradients. */
export interface GradientSpan {
  /** Where the first one's are, in token strides of the gradient. */
  readonly start: number;
  /** How many: also those that are not written, whose gradients are 0. */
  readonly count: number;
}

/** The spans of a problem's sequences, and the tokens of its gradients. */
export interface GradientSpans {
  /** One a sequence. */
  readonly spans: readonly GradientSpan[];
  /** Tokens of the gradients of keys and values. */
  readonly tokens: number;
}

/**
 * The spans of a problem: keys in order have theirs where they are themselves;
 * those in blocks, and in a cache, have them sequence after sequence, written
 * keys only, whichever blocks sequences share.
 */
export function gradientSpans(problem: AttentionProblem): GradientSpans {
  const { sequences, keys, layout } = problem;
  if (!keysInOrder(problem) || keys.kind === "paged") {
    let tokens = 0;
    const spans = sequences.map(({ keyCount: count }) => {
      const span = { start: tokens, count };
      tokens += count;
      return span;
    });
    return { spans, tokens };
  }
  const { keyTokens } = keys;
  if (stridedKeys(problem) && problem.strides!.dense) {
    // Those of each sequence are found by its stride.
    const count = keyTokens / Math.max(1, sequences.length);
    return {
      spans: sequences.map(() => ({ start: 0, count })),
      tokens: keyTokens,
    };
  }
  const spans = sequences.map(({ keyStart: start }, i) => ({
    start,
    count: layout === "bhsd"
      ? keyTokens / sequences.length
      : (sequences[i + 1]?.keyStart ?? keyTokens) - start,
  }));
  return { spans, tokens: keyTokens };
}

/** Elements of a problem's gradients. */
export function gradientElements(
  problem: AttentionProblem,
): GradientRows<number> {
  const { queryTokens, queryHeads, kvHeads, headDim, valueHeadDim } = problem;
  const { tokens } = gradientSpans(problem);
  return {
    query: queryTokens * queryHeads * headDim,
    key: tokens * kvHeads * headDim,
    value: tokens * kvHeads * valueHeadDim,
  };
}

/** The shapes of a problem's gradients. */
export function gradientShapes(
  problem: AttentionProblem,
  { queryShape, keyShape }: {
    readonly queryShape: readonly number[];
    readonly keyShape?: readonly number[] | undefined;
  },
): GradientRows<readonly number[]> {
  const { qkv, kvHeads, headDim, valueHeadDim } = problem;
  const rows = outputShape(queryShape, problem).slice(0, -1);
  const keys = qkv
    ? [...rows.slice(0, -1), kvHeads]
    : keysInOrder(problem)
    ? keyShape!.slice(0, -1)
    : [gradientSpans(problem).tokens, kvHeads];
  return {
    query: [...rows, headDim],
    key: [...keys, headDim],
    value: [...keys, valueHeadDim],
  };
}

/**
 * Where the rows of a problem's tensors are, and how large the tensors are.
 *
 * @module
 */

import {
  type AttentionProblem,
  bufferTokens,
  type ContiguousKeys,
} from "./problem.ts";

/** A row is at `at + token * token + head * head`, in elements. */
export interface RowStrides {
  /** Where head 0 of token 0 is. */
  readonly at: number;
  /** From one token to the next. */
  readonly token: number;
  /** From one head to the next. */
  readonly head: number;
}

/** The tensors of a problem that have rows. */
export interface TensorRows<T> {
  /** `[batch, queries, queryHeads, headDim]`, or as the layout says. */
  readonly query: T;
  /** Keys: of one tensor, of blocks or of an arena. */
  readonly key: T;
  /** The same of values. */
  readonly value: T;
  /** Like the query, with the value's head dim. */
  readonly output: T;
  /** The log-sum-exp: one element a row. */
  readonly lse: T;
}

/** Heads of a token in a tensor that has queries, keys and values. */
function packedHeads({ queryHeads, kvHeads }: AttentionProblem): number {
  return queryHeads + 2 * kvHeads;
}

/** The strides of a problem's tensors. */
export function rowStrides(problem: AttentionProblem): TensorRows<RowStrides> {
  const { queryHeads, kvHeads, headDim, valueHeadDim, keys } = problem;
  const { layout, qkv, sequences, queryTokens } = problem;
  // Heads come first in dense tensors only, which all sequences have alike.
  const tokensOf = (tokens: number) =>
    layout === "bhsd" ? tokens / Math.max(1, sequences.length) : undefined;
  const queries = tokensOf(queryTokens);
  const dense = keys.kind === "contiguous" && keys.segments === 0;
  const count = dense ? tokensOf(keys.keyTokens) : undefined;
  const arena = keys.segments > 0;
  if (qkv) {
    const token = packedHeads(problem) * headDim;
    const from = (head: number) => ({
      at: head * headDim,
      token,
      head: headDim,
    });
    return {
      query: from(0),
      key: from(queryHeads),
      value: from(queryHeads + kvHeads),
      output: strides(queryHeads, valueHeadDim),
      lse: strides(queryHeads, 1),
    };
  }
  return {
    query: strides(queryHeads, headDim, queries),
    key: strides(kvHeads, headDim, count),
    value: {
      ...strides(kvHeads, valueHeadDim, count),
      at: arena ? bufferTokens(keys) * kvHeads * headDim : 0,
    },
    output: strides(queryHeads, valueHeadDim, queries),
    lse: strides(queryHeads, 1, queries),
  };
}

/** The tensors that backward writes. */
export interface GradientRows<T> {
  /** Like the query. */
  readonly query: T;
  /** Like the key; of blocks and caches the written keys alone. */
  readonly key: T;
  /** The same of values. */
  readonly value: T;
}

/**
 * The strides of a problem's gradients: like queries, keys and values of the
 * problem's layout in tensors of their own; of keys in blocks and caches like
 * ragged ones.
 */
export function gradientStrides(
  problem: AttentionProblem,
): GradientRows<RowStrides> {
  const { queryHeads, kvHeads, headDim, valueHeadDim, keys } = problem;
  const { layout, sequences, queryTokens } = problem;
  const tokensOf = (tokens: number) =>
    layout === "bhsd" ? tokens / Math.max(1, sequences.length) : undefined;
  const count = keysInOrder(problem)
    ? tokensOf((keys as ContiguousKeys).keyTokens)
    : undefined;
  return {
    query: strides(queryHeads, headDim, tokensOf(queryTokens)),
    key: strides(kvHeads, headDim, count),
    value: strides(kvHeads, valueHeadDim, count),
  };
}

/** Whether keys and values are tensors in order, dense or ragged. */
export function keysInOrder({ keys }: AttentionProblem): boolean {
  return keys.kind === "contiguous" && keys.segments === 0;
}

/** Rows of `dim` elements; with `tokens` of them a head, heads come first. */
function strides(heads: number, dim: number, tokens?: number): RowStrides {
  return tokens === undefined
    ? { at: 0, token: heads * dim, head: dim }
    : { at: 0, token: dim, head: tokens * dim };
}

/** Elements of a problem's tensors; key and value are 0 where arenas hold both. */
export function tensorElements(problem: AttentionProblem): TensorRows<number> {
  const { queryHeads, kvHeads, headDim, valueHeadDim, keys } = problem;
  const { queryTokens, qkv } = problem;
  const rows = queryTokens * queryHeads;
  const keyTokens = keys.segments > 0 ? 0 : bufferTokens(keys);
  const packed = queryTokens * packedHeads(problem) * headDim;
  return {
    query: qkv ? packed : rows * headDim,
    key: qkv ? packed : keyTokens * kvHeads * headDim,
    value: qkv ? packed : keyTokens * kvHeads * valueHeadDim,
    output: rows * valueHeadDim,
    lse: rows,
  };
}

/** The shape of the output for a query, or `qkv`, of a shape. */
export function outputShape(
  queryShape: readonly number[],
  { qkv, queryHeads, valueHeadDim }: AttentionProblem,
): number[] {
  const shape = [...queryShape.slice(0, -1), valueHeadDim];
  // It is never bhsd.
  if (qkv) shape[shape.length - 2] = queryHeads;
  return shape;
}

/**
 * Where the rows of a problem's tensors are, and how large the tensors are.
 *
 * @module
 */

import {
  type AttentionProblem,
  bufferTokens,
  type ContiguousKeys,
  type Layout,
} from "./problem.ts";

/** Row h of token t of sequence b is at `at + b * batch + t * token + h * head`. */
export interface RowStrides {
  /** Where head 0 of token 0 is, in elements. */
  readonly at: number;
  /**
   * From one sequence, or block, to the next; read by kernels only where strides
   * are given. Otherwise sequences begin at a token of their own.
   */
  readonly batch: number;
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

/** Whether queries and outputs go by strides of their own. */
export function stridedQueries({ strides }: AttentionProblem): boolean {
  return strides?.query !== undefined || strides?.output !== undefined;
}

/** Whether keys and values do. */
export function stridedKeys({ strides }: AttentionProblem): boolean {
  return strides?.key !== undefined || strides?.value !== undefined;
}

/** The strides of a problem's tensors. */
export function rowStrides(problem: AttentionProblem): TensorRows<RowStrides> {
  const { query, key, value, output, lse } = contiguousRows(problem);
  const { strides: given } = problem;
  return {
    query: given?.query ?? query,
    key: given?.key ?? key,
    value: given?.value ?? value,
    output: given?.output ?? output,
    lse,
  };
}

/** The strides of tensors whose rows lie side by side. */
function contiguousRows(problem: AttentionProblem): TensorRows<RowStrides> {
  const { queryHeads, kvHeads, headDim, valueHeadDim, keys, layout } = problem;
  const arena = keys.segments > 0;
  // Of each sequence, where they are dense: ragged ones have tokens in a row.
  const queries = tokensOf(problem, problem.queryTokens);
  const query = (dim: number) =>
    strides(queryHeads, dim, { layout, tokens: queries });
  const results = { output: query(valueHeadDim), lse: query(1) };
  if (problem.qkv) {
    const heads = packedHeads(problem);
    const from = (head: number) => ({
      ...strides(heads, headDim, { layout, tokens: queries }),
      at: head * headDim,
    });
    return {
      query: from(0),
      key: from(queryHeads),
      value: from(queryHeads + kvHeads),
      ...results,
    };
  }
  // Blocks keep tokens before heads.
  const own = keys.kind === "paged"
    ? { layout: "bshd", tokens: keys.blockSize } as const
    : arena
    ? { layout: "bshd", tokens: 0 } as const
    : { layout, tokens: tokensOf(problem, keys.keyTokens) };
  return {
    query: query(headDim),
    key: strides(kvHeads, headDim, own),
    value: {
      ...strides(kvHeads, valueHeadDim, own),
      at: arena ? bufferTokens(keys) * kvHeads * headDim : 0,
    },
    ...results,
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
  const { layout, queryTokens } = problem;
  const own = (tokens: number) => ({
    layout,
    tokens: tokensOf(problem, tokens),
  });
  // Those of blocks and caches are in a row, one sequence after the other.
  const count = keysInOrder(problem)
    ? own((keys as ContiguousKeys).keyTokens)
    : { layout: "bshd", tokens: 0 } as const;
  return {
    query: strides(queryHeads, headDim, own(queryTokens)),
    key: strides(kvHeads, headDim, count),
    value: strides(kvHeads, valueHeadDim, count),
  };
}

/** Whether keys and values are tensors in order, dense or ragged. */
export function keysInOrder({ keys }: AttentionProblem): boolean {
  return keys.kind === "contiguous" && keys.segments === 0;
}

/** Tokens of each sequence where it matters; 0 of ragged ones. */
function tokensOf(
  { layout, sequences, strides: given }: AttentionProblem,
  tokens: number,
): number {
  // Heads come first in dense tensors only, which all sequences have alike.
  const dense = layout === "bhsd" || given?.dense;
  return dense ? tokens / Math.max(1, sequences.length) : 0;
}

/** Rows of `dim` elements, tokens or heads first. */
function strides(
  heads: number,
  dim: number,
  { layout, tokens }: { readonly layout: Layout; readonly tokens: number },
): RowStrides {
  const batch = tokens * heads * dim;
  return layout === "bshd"
    ? { at: 0, batch, token: heads * dim, head: dim }
    : { at: 0, batch, token: dim, head: tokens * dim };
}

/**
 * Elements of a problem's tensors; key and value are 0 where arenas hold both,
 * and where strides are given, what they reach, at least.
 */
export function tensorElements(problem: AttentionProblem): TensorRows<number> {
  const { queryHeads, kvHeads, headDim, valueHeadDim, keys } = problem;
  const { queryTokens, qkv, strides: given } = problem;
  const rows = queryTokens * queryHeads;
  const keyTokens = keys.segments > 0 ? 0 : bufferTokens(keys);
  const packed = queryTokens * packedHeads(problem) * headDim;
  return {
    query: given?.query?.extent ?? (qkv ? packed : rows * headDim),
    key: given?.key?.extent ?? (qkv ? packed : keyTokens * kvHeads * headDim),
    value: given?.value?.extent ??
      (qkv ? packed : keyTokens * kvHeads * valueHeadDim),
    output: given?.output?.extent ?? rows * valueHeadDim,
    lse: rows,
  };
}

/** Elements of the rows' maxima in blocks of keys, where they are wanted. */
export function maximaElements(problem: AttentionProblem): number {
  return tensorElements(problem).lse * (problem.blockScores?.keyBlocks ?? 0);
}

/** Elements of scores of blocks, where they are wanted. */
export function blockScoresElements(
  { blockScores, sequences, queryHeads }: AttentionProblem,
): number {
  const { queryBlocks, keyBlocks } = blockScores ??
    { queryBlocks: 0, keyBlocks: 0 };
  return sequences.length * queryHeads * queryBlocks * keyBlocks;
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

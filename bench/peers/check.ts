/**
 * Who is right: every result is held against the float64 oracle before any
 * time counts.
 *
 * @module
 */

import { differenceOf } from "../../reference/error.ts";
import {
  attention,
  attentionBackward,
  naiveAttention,
  naiveAttentionBackward,
} from "../../reference/mod.ts";
import { HEAD_DIM, HEADS, type PeerCase, type PeerInputs } from "./cases.ts";

/**
 * How many times the largest error of a naive version in the same precision
 * is still right. Wide, as peers round in their own order; faults are larger
 * by orders of magnitude.
 */
const FACTOR = 8;

/** What one result, `[tokens, HEADS, HEAD_DIM]`, is held against. */
export interface Expectation {
  /** The sampled rows, each of a token and a head: `token * HEADS + head`. */
  readonly rows: readonly number[];
  /** The same in float64, `[sampled, HEAD_DIM]`. */
  readonly exact: Float64Array;
  /** The largest error that is still right. */
  readonly bound: number;
}

/** Whether results are right. */
export interface Verdict {
  /** The largest absolute error of each; NaN where it has one. */
  readonly errors: readonly number[];
  /** Whether all are within their bounds. */
  readonly right: boolean;
}

/** Computes what the results of a case are to be. */
export function expect(peerCase: PeerCase, inputs: PeerInputs): Expectation[] {
  return peerCase.pass === "forward"
    ? [expectOutput(peerCase, inputs)]
    : expectGradients(peerCase, inputs);
}

/** Sizes of one sequence. */
function sizes(queries: number, keys: number, heads: number) {
  return {
    batch: 1,
    queryLength: queries,
    keyLength: keys,
    queryHeads: heads,
    kvHeads: heads,
    headDim: HEAD_DIM,
  };
}

/** Positions that see those before and themselves. */
function causally(_b: number, _h: number, i: number, j: number): boolean {
  return j <= i;
}

/** Queries at and around the edges of common tiles, and the last ones. */
function sample(queries: number): number[] {
  const edges = [0, 1, 7, 8, 31, 32, 33, 63, 64, 65, queries >> 1];
  const all = [...edges, queries - 2, queries - 1];
  return [...new Set(all)].filter((i) => i >= 0 && i < queries);
}

/** All heads of sampled queries. */
function expectOutput(
  { causal, keys, dtype, queries }: PeerCase,
  inputs: PeerInputs,
): Expectation {
  const rowSize = HEADS * HEAD_DIM;
  const sampled = sample(queries);
  const output = new Float64Array(sampled.length * rowSize);
  let naiveError = 0;
  sampled.forEach((query, n) => {
    const problem = {
      ...sizes(1, keys, HEADS),
      query: inputs.query.subarray(query * rowSize, (query + 1) * rowSize),
      key: inputs.key,
      value: inputs.value,
      queryOffset: keys - queries + query,
      mask: causal ? causally : undefined,
    };
    const exact = attention(problem).output;
    const naive = naiveAttention({ ...problem, precision: dtype }).output;
    naiveError = Math.max(naiveError, differenceOf(naive, exact).max);
    output.set(exact, n * rowSize);
  });
  return {
    rows: rowsOf(sampled, range(HEADS)),
    exact: output,
    bound: FACTOR * naiveError,
  };
}

/**
 * All tokens of the outer heads: a key's gradient is a sum over all queries, but
 * of its own head alone.
 */
function expectGradients(
  { causal, keys, dtype, queries }: PeerCase,
  inputs: PeerInputs,
): Expectation[] {
  const heads = [0, HEADS - 1];
  const part = (rows: Float32Array | Float16Array) =>
    pickRows(rows, rowsOf(range(rows.length / HEADS / HEAD_DIM), heads));
  const problem = {
    ...sizes(queries, keys, heads.length),
    query: part(inputs.query),
    key: part(inputs.key),
    value: part(inputs.value),
    outputGradient: part(inputs.outputGradient),
    mask: causal ? causally : undefined,
  };
  const exact = attentionBackward(problem);
  const naive = naiveAttentionBackward({ ...problem, precision: dtype });
  const names = ["queryGradient", "keyGradient", "valueGradient"] as const;
  return names.map((name) => ({
    rows: rowsOf(range(exact[name].length / heads.length / HEAD_DIM), heads),
    exact: exact[name],
    bound: FACTOR * differenceOf(naive[name], exact[name]).max,
  }));
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

/** The rows of each of `heads` of each of `tokens`. */
function rowsOf(tokens: readonly number[], heads: readonly number[]): number[] {
  return tokens.flatMap((token) => heads.map((head) => token * HEADS + head));
}

function pickRows(
  all: ArrayLike<number>,
  rows: readonly number[],
): Float64Array {
  return Float64Array.from(
    { length: rows.length * HEAD_DIM },
    (_, i) => all[rows[Math.floor(i / HEAD_DIM)] * HEAD_DIM + i % HEAD_DIM],
  );
}

/** Compares results on the sampled rows. */
export function judge(
  results: readonly ArrayLike<number>[],
  expected: readonly Expectation[],
): Verdict {
  const errors = expected.map(({ rows, exact }, r) =>
    differenceOf(pickRows(results[r], rows), exact).max
  );
  return { errors, right: errors.every((e, r) => e <= expected[r].bound) };
}

/**
 * Who is right: every output is held against the float64 oracle before any
 * time counts.
 *
 * @module
 */

import { attention, naiveAttention } from "../../reference/mod.ts";
import { differenceOf } from "../../reference/error.ts";
import { HEAD_DIM, HEADS, type PeerCase, type PeerInputs } from "./cases.ts";

/**
 * How many times the largest error of a naive version in the same precision
 * is still right. Wide, as peers round in their own order; faults are larger
 * by orders of magnitude.
 */
const FACTOR = 8;

/** What an output is held against, on sampled queries. */
export interface Expectation {
  /** The sampled queries. */
  readonly queries: readonly number[];
  /** Their rows in float64, `[sampled, HEADS, HEAD_DIM]`. */
  readonly output: Float64Array;
  /** The largest error that is still right. */
  readonly bound: number;
}

/** Whether an output is right. */
export interface Verdict {
  /** The largest absolute error; NaN where there is one. */
  readonly error: number;
  /** Whether it is within the bound. */
  readonly right: boolean;
}

/** Queries at and around the edges of common tiles, and the last ones. */
function sample(queries: number): number[] {
  const edges = [0, 1, 7, 8, 31, 32, 33, 63, 64, 65, queries >> 1];
  const all = [...edges, queries - 2, queries - 1];
  return [...new Set(all)].filter((i) => i >= 0 && i < queries);
}

/** Computes the expectation of a case. */
export function expect(peerCase: PeerCase, inputs: PeerInputs): Expectation {
  const { causal, keys, dtype, queries } = peerCase;
  const rowSize = HEADS * HEAD_DIM;
  const sampled = sample(queries);
  const output = new Float64Array(sampled.length * rowSize);
  let naiveError = 0;
  sampled.forEach((query, n) => {
    const problem = {
      query: inputs.query.subarray(query * rowSize, (query + 1) * rowSize),
      key: inputs.key,
      value: inputs.value,
      batch: 1,
      queryLength: 1,
      keyLength: keys,
      queryHeads: HEADS,
      kvHeads: HEADS,
      headDim: HEAD_DIM,
      queryOffset: keys - queries + query,
      mask: causal
        ? (_b: number, _h: number, i: number, j: number) => j <= i
        : undefined,
    };
    const exact = attention(problem).output;
    const naive = naiveAttention({ ...problem, precision: dtype }).output;
    naiveError = Math.max(naiveError, differenceOf(naive, exact).max);
    output.set(exact, n * rowSize);
  });
  return { queries: sampled, output, bound: FACTOR * naiveError };
}

/** Compares an output, `[queries, HEADS, HEAD_DIM]`, on the sampled queries. */
export function judge(
  output: ArrayLike<number>,
  expected: Expectation,
): Verdict {
  const rowSize = HEADS * HEAD_DIM;
  const actual = expected.output.map((_, i) =>
    output[
      expected.queries[Math.floor(i / rowSize)] * rowSize + i % rowSize
    ]
  );
  const error = differenceOf(actual, expected.output).max;
  return { error, right: error <= expected.bound };
}

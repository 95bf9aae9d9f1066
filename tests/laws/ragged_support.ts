/**
 * Sequences of different lengths on the host, and attention over them.
 *
 * @module
 */

import { assert } from "@std/assert";
import { Prng } from "../../src/core/prng.ts";
import {
  attention as oracle,
  compareWithBound,
  errorBound,
  GATES,
  type MaskFunction,
  type ScoreFunction,
} from "../../reference/mod.ts";

/** Heads of all tests here, so that few kernels are compiled. */
export const HEADS = { queryHeads: 4, kvHeads: 2, headDim: 8 } as const;

/** One sequence. */
export interface Sequence {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** `[queries, keys]` of sequences, with normal numbers. */
export function sequencesOf(
  lengths: readonly (readonly [queries: number, keys: number])[],
  seed: number,
): Sequence[] {
  const random = new Prng(seed);
  const { queryHeads, kvHeads, headDim } = HEADS;
  const rows = (count: number, heads: number) =>
    Float32Array.from(
      { length: count * heads * headDim },
      () => random.normal(),
    );
  return lengths.map(([queries, keys]) => ({
    query: rows(queries, queryHeads),
    key: rows(keys, kvHeads),
    value: rows(keys, kvHeads),
  }));
}

/** Arrays one behind the other. */
export function joined(arrays: readonly Float32Array[]): Float32Array {
  const sizes = arrays.map(({ length }) => length);
  const all = new Float32Array(sizes.reduce((a, b) => a + b, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

/** Where each starts, then the end. */
export function cumulative(lengths: readonly number[]): number[] {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return starts;
}

/** Elements of a token's queries, and of its keys. */
export const WIDTHS = {
  query: HEADS.queryHeads * HEADS.headDim,
  key: HEADS.kvHeads * HEADS.headDim,
} as const;

/** Sequences as `attention()` takes them, packed. */
export function packedOptions(sequences: readonly Sequence[]) {
  const { queryHeads, kvHeads, headDim } = HEADS;
  const query = joined(sequences.map(({ query }) => query));
  const key = joined(sequences.map(({ key }) => key));
  const value = joined(sequences.map(({ value }) => value));
  const keyShape = [key.length / WIDTHS.key, kvHeads, headDim];
  return {
    query: {
      data: query,
      shape: [query.length / WIDTHS.query, queryHeads, headDim],
    },
    key: { data: key, shape: keyShape },
    value: { data: value, shape: keyShape },
    cuSeqlens: cumulative(
      sequences.map(({ query }) => query.length / WIDTHS.query),
    ),
    cuSeqlensKey: cumulative(
      sequences.map(({ key }) => key.length / WIDTHS.key),
    ),
  };
}

/** What a sequence's attention goes by. */
export interface Meaning {
  readonly score?: ScoreFunction;
  readonly mask?: MaskFunction;
  readonly queryOffset?: number;
}

/** One sequence in float64, and how far off a kernel may be. */
export function expectedOf(
  { query, key, value }: Sequence,
  { queryOffset, ...meaning }: Meaning,
): { readonly output: Float64Array; readonly bound: number } {
  const problem = {
    query,
    key,
    value,
    batch: 1,
    queryLength: query.length / WIDTHS.query,
    keyLength: key.length / WIDTHS.key,
    ...HEADS,
    ...meaning,
    ...(queryOffset === undefined ? {} : { queryOffset }),
  };
  const { output } = oracle(problem);
  const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl }).output;
  return { output, bound };
}

/** Throws unless rows are those of the oracle, as near as the error rule asks. */
export function assertNear(
  actual: ArrayLike<number>,
  { output, bound }: { output: Float64Array; bound: number },
  what: string,
): void {
  const found = compareWithBound({ actual, expected: output, bound });
  assert(
    found.ok,
    `${what}: off by ${found.max} at ${found.where}, which may be ${bound}`,
  );
}

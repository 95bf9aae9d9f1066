/**
 * Problems from a seed, and how the tests here compare results.
 *
 * @module
 */

import fc from "fast-check";
import {
  compareWithBound,
  type ErrorBound,
  errorBound,
} from "../../reference/mod.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";
import { roundAll } from "../../reference/naive.ts";
import type {
  BackwardProblem,
  MaskFunction,
  ReferenceProblem,
  ScoreFunction,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";

/** A problem in one line: what a failing property prints. */
export interface Case {
  seed: number;
  batch: number;
  queryLength: number;
  keyLength: number;
  kvHeads: number;
  queriesPerKvHead: number;
  headDim: number;
  valueHeadDim: number;
  /** Standard deviation of the logits. */
  logitScale: number;
  mask: keyof typeof MASKS;
  score: keyof typeof SCORES;
}

/** A coin that depends on its arguments alone. */
export function coin(...parts: number[]): boolean {
  let seed = 0;
  for (const part of parts) seed = new Prng(seed + part).u32();
  return seed % 2 === 0;
}

/** Masks by name; `query` is a position. */
export const MASKS = {
  none: undefined,
  causal: (_b, _h, query, key) => key <= query,
  window: (_b, _h, query, key) => query - 3 <= key && key <= query + 2,
  random: coin,
  sparse: (b, h, query, key) =>
    coin(b, query) && coin(h, key) && coin(query, key),
  nothing: () => false,
} satisfies Record<string, MaskFunction | undefined>;

/** Score functions by name. */
export const SCORES = {
  none: undefined,
  softcap: (score) => 20 * Math.tanh(score / 20),
  distance: (score, _b, head, query, key) =>
    score - 2 ** -(head + 1) * Math.abs(query - key),
} satisfies Record<string, ScoreFunction | undefined>;

/** The derivative of each, with respect to the score. */
export const SCORE_DERIVATIVES = {
  none: undefined,
  softcap: (score) => 1 - Math.tanh(score / 20) ** 2,
  distance: () => 1,
} satisfies Record<keyof typeof SCORES, ScoreFunction | undefined>;

/** `length` normal numbers times `factor`, exact in float32. */
export function normals(
  prng: Prng,
  length: number,
  factor: number = 1,
): Float32Array {
  return Float32Array.from({ length }, () => factor * prng.normal());
}

/** The problem of a case; its numbers are exact in `precision`. */
export function problemOf(
  c: Case,
  precision: "f32" | "f16" = "f32",
): ReferenceProblem {
  const prng = new Prng(c.seed);
  const queryHeads = c.kvHeads * c.queriesPerKvHead;
  const queries = c.batch * c.queryLength * queryHeads;
  const keys = c.batch * c.keyLength * c.kvHeads;
  return {
    query: roundAll(
      precision,
      normals(prng, queries * c.headDim, c.logitScale),
    ),
    key: roundAll(precision, normals(prng, keys * c.headDim)),
    value: roundAll(precision, normals(prng, keys * c.valueHeadDim)),
    batch: c.batch,
    queryLength: c.queryLength,
    keyLength: c.keyLength,
    queryHeads,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    valueHeadDim: c.valueHeadDim,
    mask: MASKS[c.mask],
    score: SCORES[c.score],
  };
}

/** The problem of a case with what a loss sends back, exact in `precision`. */
export function backwardOf(
  c: Case,
  precision: "f32" | "f16" = "f32",
): BackwardProblem {
  const prng = new Prng(c.seed + 1e6);
  const rows = c.batch * c.queryLength * c.kvHeads * c.queriesPerKvHead;
  return {
    ...problemOf(c, precision),
    scoreDerivative: SCORE_DERIVATIVES[c.score],
    outputGradient: roundAll(precision, normals(prng, rows * c.valueHeadDim)),
    lseGradient: normals(prng, rows),
  };
}

/** Cases, small and odd; `changes` fixes or widens some of their fields. */
export function cases(
  changes: { [K in keyof Case]?: fc.Arbitrary<Case[K]> } = {},
): fc.Arbitrary<Case> {
  return fc.record({
    seed: fc.nat(1e6),
    batch: fc.integer({ min: 1, max: 2 }),
    queryLength: fc.integer({ min: 0, max: 9 }),
    keyLength: fc.integer({ min: 0, max: 20 }),
    kvHeads: fc.integer({ min: 1, max: 2 }),
    queriesPerKvHead: fc.integer({ min: 1, max: 3 }),
    headDim: fc.integer({ min: 1, max: 9 }),
    valueHeadDim: fc.integer({ min: 1, max: 6 }),
    logitScale: fc.constantFrom(0, 1, 4, 16),
    mask: fc.constantFrom(...keysOf(MASKS)),
    score: fc.constantFrom(...keysOf(SCORES)),
    ...changes,
  }) as fc.Arbitrary<Case>;
}

function keysOf<T extends object>(table: T): (keyof T)[] {
  return Object.keys(table) as (keyof T)[];
}

/** Results of one problem in any precision. */
export interface Result {
  output: ArrayLike<number>;
  lse: ArrayLike<number>;
}

/**
 * The bound between two float64 results: each is within the working bound for
 * unit roundoff 2^-53, of which the sums here, key after key, take four.
 */
export function float64Bound(problem: ReferenceProblem): ErrorBound {
  const { output, lse } = errorBound(problem, { keys: 1 });
  return { output: 4 * 2 ** -29 * output, lse: 4 * 2 ** -29 * lse };
}

/** Fails with a table unless both parts are within their bounds. */
export function assertWithin(
  actual: Result,
  expected: Result,
  bound: ErrorBound,
): void {
  for (const part of ["output", "lse"] as const) {
    const arrays = { actual: actual[part], expected: expected[part] };
    const { ok, where } = compareWithBound({ ...arrays, bound: bound[part] });
    if (ok) continue;
    const table = mismatchTable({ ...arrays, where, bound: bound[part] });
    throw new Error(`${part}: ${table}`);
  }
}

/** Rows `first` to `end` (exclusive) of `array`, whose rows are `width` long. */
export function rowsOf(
  array: ArrayLike<number>,
  { first, end, width }: { first: number; end: number; width: number },
): number[] {
  return Array.from(array).slice(first * width, end * width);
}

/** `array` as rows of `width`, put in the order of `order`. */
export function reorder(
  array: ArrayLike<number>,
  order: readonly number[],
  width: number,
): number[] {
  return order.flatMap((n) => rowsOf(array, { first: n, end: n + 1, width }));
}

/** The numbers `0..length-1`. */
export function range(length: number): number[] {
  return Array.from({ length }, (_, n) => n);
}

/**
 * How the tests of linear attention cut problems and compare results.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  compareWithBound,
  type LinearAttentionProblem,
  type LinearAttentionResult,
} from "../../../reference/mod.ts";
import { linearGeometryOf } from "../../../reference/linear/problem.ts";
import { mismatchTable } from "../../../reference/mismatch_table.ts";
import { rowsOf } from "../cases.ts";

/** One head of one dim and scale 1: queries, keys and values are numbers. */
export function scalar(
  changes: Partial<LinearAttentionProblem> & { value: ArrayLike<number> },
): LinearAttentionProblem {
  const ones = new Array(changes.value.length).fill(1);
  return {
    query: ones,
    key: ones,
    batch: 1,
    sequence: changes.value.length,
    queryHeads: 1,
    keyHeads: 1,
    valueHeads: 1,
    headDim: 1,
    scale: 1,
    ...changes,
  };
}

/** Tokens `first` to `end` (exclusive) of one sequence, from a state. */
export function slice(
  problem: LinearAttentionProblem,
  { first, end, initialState }: {
    first: number;
    end: number;
    initialState?: ArrayLike<number> | undefined;
  },
): LinearAttentionProblem {
  const { tokens } = linearGeometryOf(problem);
  const cut = (array: ArrayLike<number>) =>
    rowsOf(array, { first, end, width: array.length / tokens || 0 });
  const { batch: _, sequence: __, ...rest } = problem;
  const { decay, decayShape, beta } = problem;
  return {
    ...rest,
    cuSeqlens: [0, end - first],
    query: cut(problem.query),
    key: cut(problem.key),
    value: cut(problem.value),
    decay: decay && !decayShape?.startsWith("constant") ? cut(decay) : decay,
    beta: beta && cut(beta),
    initialState,
  };
}

/** Each sequence of a problem as one by itself. */
export function separate(
  problem: LinearAttentionProblem,
): LinearAttentionProblem[] {
  const { sequences, stateSize } = linearGeometryOf(problem);
  const width = problem.valueHeads * stateSize;
  const { initialState } = problem;
  return sequences.map((range, n) =>
    slice(problem, {
      ...range,
      initialState: initialState &&
        rowsOf(initialState, { first: n, end: n + 1, width }),
    })
  );
}

/** Results one after another, as sequences of one problem. */
export function joined(
  results: readonly LinearAttentionResult[],
): LinearAttentionResult {
  const all = (name: keyof LinearAttentionResult) =>
    Float64Array.from(results.flatMap((result) => [...result[name]]));
  return { output: all("output"), state: all("state") };
}

/** A state or an output in any precision. */
export interface LinearArrays {
  readonly output: ArrayLike<number>;
  readonly state: ArrayLike<number>;
}

/**
 * Fails with a table unless outputs and states are as near as two ways to sum
 * in float64 may be: `2^-44` of the largest number that they are made of, which
 * is what all of their terms would be, had none cancelled.
 */
export function assertSame(
  actual: LinearArrays,
  expected: LinearArrays,
  problem: LinearAttentionProblem,
): void {
  const size = sizeOf(problem);
  for (const part of ["output", "state"] as const) {
    const arrays = { actual: actual[part], expected: expected[part] };
    const bound = 2 ** -44 * size[part];
    const { ok, where } = compareWithBound({ ...arrays, bound });
    if (ok) continue;
    throw new Error(`${part}: ${mismatchTable({ ...arrays, where, bound })}`);
  }
}

/** Fails unless each element is as near as two ways to sum in float64 may be. */
export function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  within: number = 1e-11,
): void {
  assertEquals(actual.length, expected.length);
  for (let n = 0; n < expected.length; n++) {
    const off = Math.abs(actual[n] - expected[n]);
    assert(off <= within, `[${n}] is ${actual[n]}, not ${expected[n]}`);
  }
}

/** How large outputs and states could be, had nothing cancelled or decayed. */
function sizeOf(
  problem: LinearAttentionProblem,
): { output: number; state: number } {
  const { tokens, scale } = linearGeometryOf(problem);
  const { query, key, value, initialState = [], headDim } = problem;
  const state = largest(initialState) +
    tokens * largest(key) * largest(value);
  const output = Math.abs(scale) * headDim * largest(query) * state;
  return { output, state };
}

function largest(array: ArrayLike<number>): number {
  let most = 0;
  for (let n = 0; n < array.length; n++) {
    most = Math.max(most, Math.abs(array[n]));
  }
  return most;
}

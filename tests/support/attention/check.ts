/**
 * Holds results of attention cases against float64 and against the shadow, by
 * the error rule.
 *
 * @module
 */

import { fail } from "@std/assert";
import {
  attention,
  blockScores,
  blockScoresBound,
  compareErrors,
  compareWithBound,
  errorBound,
  GATES,
  naiveAttention,
  type ReferenceProblem,
  shadowAttention,
} from "../../../reference/mod.ts";
import { mismatchTable } from "../../../reference/mismatch_table.ts";
import {
  type AttentionCase,
  dataOf,
  referenceProblem,
  type SequenceData,
  workOf,
} from "./cases.ts";
import { type CaseResult, scoresOf, sliceOf } from "./runner.ts";

/**
 * The gate of a kernel against the shadow, which runs the same tile loop: twice
 * the shadow's own, since both are that far from float64 at most, but for the
 * kernel's `exp`. Half of what a kernel is allowed against float64.
 */
export const SHADOW_GATE = { output: 2, lse: 4 };

/** Multiplications up to which a case is held against the slow versions too. */
const SLOW_WORK = 2_000_000;

/** What a check found out, for those who want to know how close it was. */
export interface Closeness {
  /** Largest error over its bound: output and log-sum-exp. */
  readonly oracle: number;
  /** The same against the shadow; 0 where it was not run. */
  readonly shadow: number;
}

/**
 * Fails unless a case's result is as close to float64 as the error rule wants.
 *
 * @param replay What to print as the one command that replays it.
 */
export function checkCase(
  c: AttentionCase,
  result: CaseResult,
  replay: string = replayLine(c),
  data: readonly SequenceData[] = dataOf(c),
): Closeness {
  const closeness = { oracle: 0, shadow: 0 };
  c.sequences.forEach(([queries], i) => {
    // No kernel may have run, and there is no row to hold.
    if (queries === 0) return;
    const problem = referenceProblem(c, data[i], i);
    const step = stepOf(c, result);
    const actual = sliceOf(c, result, i);
    const expected = attention(problem);
    const context = { c, problem, actual, expected, index: i, replay };
    const bound = errorBound(problem, { keys: step, gate: GATES.wgsl });
    if (actual.lse.length > 0 || c.lse !== false) {
      const lse = hold(context, "lse", expected.lse, bound.lse);
      closeness.oracle = Math.max(closeness.oracle, lse);
    }
    if (c.scoreBlock) {
      const scores = holdScores(context, scoresOf(c, result.blockScores!, i));
      closeness.oracle = Math.max(closeness.oracle, scores);
    }
    // For f16 alone. In f32 the naive version's exp is exact to half a unit in
    // the last place, WGSL's may be off by 3 + 2|x|: that is what the bound
    // knows and the ratio does not.
    if (c.dtype === "f16") return holdRatio(context);
    const output = hold(context, "output", expected.output, bound.output);
    closeness.oracle = Math.max(closeness.oracle, output);
    if (workOf(c) > SLOW_WORK) return;
    closeness.shadow = Math.max(closeness.shadow, holdShadow(context, step));
  });
  return closeness;
}

interface Context {
  readonly c: AttentionCase;
  readonly problem: ReferenceProblem;
  readonly actual: { output: Float32Array; lse: Float32Array };
  readonly expected: { output: Float64Array; lse: Float64Array };
  readonly index: number;
  readonly replay: string;
}

type Part = "output" | "lse";

/** The baseline is held at least to what a kernel with steps of 16 keys is. */
const BASELINE_STEP = 16;

/** Keys of one step of the kernels that ran; of several, the smallest. */
function stepOf(c: AttentionCase, { explanation }: CaseResult): number {
  const steps = Object.values(explanation.kernels).map(({ tile }) => tile.keys);
  if (steps.length === 0) throw new Error("No kernel says its step");
  const step = Math.min(...steps);
  return c.algorithm === "standard" ? Math.max(step, BASELINE_STEP) : step;
}

function hold(
  context: Context,
  part: Part,
  expected: ArrayLike<number>,
  bound: number,
  against = "float64",
): number {
  const actual = context.actual[part];
  const { ok, where, max } = compareWithBound({ actual, expected, bound });
  if (!ok) report(context, part, { expected, bound, where, against });
  return bound > 0 ? max / bound : 0;
}

/** Scores of blocks, by the bound that follows from the log-sum-exp's. */
function holdScores(
  { c, problem, index, replay }: Context,
  actual: Float32Array,
): number {
  const block = c.scoreBlock!;
  // Whatever the step was: it is not the maxima's.
  const bound = blockScoresBound(problem, { block, keys: BASELINE_STEP });
  const expected = blockScores(problem, block);
  const { ok, where, max } = compareWithBound({ actual, expected, bound });
  if (ok) return max / bound;
  throw new Error(
    `blockScores of sequence ${index}: [${where}] is ${actual[where]}, not ${
      expected[where]
    } within ${bound}\n${replay}`,
  );
}

function holdRatio(context: Context): void {
  const { problem, expected, actual } = context;
  const precision = "f16";
  const naive = naiveAttention({ ...problem, precision }).output;
  const comparison = compareErrors({
    actual: actual.output,
    expected: expected.output,
    naive,
    precision,
  });
  if (comparison.ok) return;
  const { where, maxBound: bound, mean, meanBound } = comparison;
  report(context, "output", {
    expected: expected.output,
    bound,
    where,
    against: `float64 by the ratio rule, mean error ${mean} of ${meanBound}`,
  });
}

function holdShadow(context: Context, keys: number): number {
  const { c, problem } = context;
  const splits = typeof c.splits === "number" ? c.splits : 1;
  const shadow = shadowAttention(problem, { rows: 16, keys, splits });
  const bound = errorBound(problem, { keys, gate: SHADOW_GATE });
  const lse = context.actual.lse.length === 0
    ? 0
    : hold(context, "lse", shadow.lse, bound.lse, "the shadow");
  return Math.max(
    lse,
    hold(context, "output", shadow.output, bound.output, "the shadow"),
  );
}

function report(
  { c, actual, index, replay }: Context,
  part: Part,
  { expected, bound, where, against }: {
    expected: ArrayLike<number>;
    bound: number;
    where: number;
    against: string;
  },
): never {
  const rows = [c.sequences[index][0], c.queryHeads];
  const shape = part === "lse" ? rows : [...rows, c.valueHeadDim];
  const table = mismatchTable({
    actual: actual[part],
    expected,
    where,
    bound,
    shape,
  });
  // A plain error, as this also runs in a browser.
  throw new Error(`${part} of sequence ${index} against ${against}
${table}
${replay}`);
}

/** The one command that runs a case again. */
export function replayLine(c: AttentionCase): string {
  return `QUIRE_CASE='${
    JSON.stringify(c)
  }' deno test -A tests/kernels/attention_test.ts --filter "replay"`;
}

/** Fails unless two results are the same bits, NaN included. */
export function assertSameBits(
  actual: Pick<CaseResult, "output" | "lse">,
  expected: Pick<CaseResult, "output" | "lse">,
  message: string,
): void {
  for (const part of ["output", "lse"] as const) {
    const [a, b] = [bytesOf(actual[part]), bytesOf(expected[part])];
    const size = actual[part].BYTES_PER_ELEMENT;
    const where = a.length === b.length
      ? a.findIndex((byte, n) => byte !== b[n])
      : Math.min(a.length, b.length);
    if (a.length === b.length && where < 0) continue;
    const n = Math.floor(where / size);
    fail(
      `${part}[${n}] of ${expected[part].length} is ${actual[part][n]}, not ${
        expected[part][n]
      }, bit by bit: ${message}`,
    );
  }
}

function bytesOf(array: Float32Array | Float16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * Fails unless two results of one case are as close to each other as two
 * results that keep the bound may be.
 */
export function assertClose(
  c: AttentionCase,
  actual: Pick<CaseResult, "output" | "lse">,
  expected: Pick<CaseResult, "output" | "lse">,
  message: string,
  data: readonly SequenceData[] = dataOf(c),
): void {
  const replay = `${message}\n${replayLine(c)}`;
  c.sequences.forEach((_, index) => {
    const problem = referenceProblem(c, data[index], index);
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl });
    const parts = sliceOf(c, actual, index);
    const context = {
      c,
      problem,
      actual: parts,
      expected: attention(problem),
      index,
      replay,
    };
    const wanted = sliceOf(c, expected, index);
    hold(context, "lse", wanted.lse, 2 * bound.lse, "the other");
    hold(context, "output", wanted.output, 2 * bound.output, "the other");
  });
}

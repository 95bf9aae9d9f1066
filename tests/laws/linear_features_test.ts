/**
 * Laws of linear attention with features, and of a prefix, that need no oracle
 * but for the last one.
 */

import { assert, assertEquals } from "@std/assert";
import {
  LINEAR_GATES,
  linearErrorBound,
  prefixLinearAttention,
  prefixLinearProblem,
  recurrentLinearAttention,
  taylorProblem,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest } from "../support/gpu.ts";
import { linearProblemOf } from "../support/linear_cases.ts";
import {
  type CasePrefix,
  type FeatureCase,
  runFeatures,
} from "../support/linear_features.ts";

const CASE: FeatureCase = {
  seed: 3,
  dtype: "f32",
  layout: "dense",
  sequences: [40, 40],
  queryHeads: 4,
  keyHeads: 1,
  valueHeads: 2,
  headDim: 5,
  valueHeadDim: 6,
  distribution: "normal",
  eps: 1e-6,
  chunk: 16,
};

/** A prefix of a case, with NaN in what is no part of it. */
function prefixOf(
  c: FeatureCase,
  lengths: readonly number[],
  { rows = Math.max(...lengths), poison = NaN, seed = 11 } = {},
): CasePrefix {
  const fill = (width: number, salt: number) => {
    const out = new Float32Array(lengths.length * rows * width).fill(poison);
    lengths.forEach((length, n) => {
      const random = new Prng(seed * 7919 + salt * 31 + n);
      for (let i = 0; i < length * width; i++) {
        out[n * rows * width + i] = Math.fround(random.normal());
      }
    });
    return out;
  };
  return {
    key: fill(c.keyHeads * c.headDim, 1),
    value: fill(c.valueHeads * c.valueHeadDim, 2),
    rows,
    lengths,
  };
}

/** The rows of a prefix of one sequence, in another order. */
function permuted(c: FeatureCase, prefix: CasePrefix): CasePrefix {
  const [length] = prefix.lengths;
  const order = new Prng(4).shuffle(Array.from({ length }, (_, i) => i));
  const move = (from: Float32Array, width: number) => {
    const out = Float32Array.from(from);
    order.forEach((row, i) =>
      out.set(from.subarray(row * width, (row + 1) * width), i * width)
    );
    return out;
  };
  return {
    ...prefix,
    key: move(prefix.key, c.keyHeads * c.headDim),
    value: move(prefix.value, c.valueHeads * c.valueHeadDim),
  };
}

/** What a state of the tokens of a case may be off by. */
function boundOf(c: FeatureCase) {
  const problem = taylorProblem(linearProblemOf(c), { normalize: true });
  return linearErrorBound(problem, {
    chunk: c.chunk ?? 128,
    gate: LINEAR_GATES.wgsl,
  });
}

/** The same of normalised outputs, whose every weight is at least a half. */
function outputBound(c: FeatureCase, outputs: ArrayLike<number>): number {
  const largest = Array.from(outputs)
    .reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return 2 * boundOf(c).output * (1 + largest);
}

/** The largest difference of two arrays of one length. */
function differenceOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assertEquals(a.length, b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    assert(!Number.isNaN(a[i]) && !Number.isNaN(b[i]), `NaN at ${i}`);
    most = Math.max(most, Math.abs(a[i] - b[i]));
  }
  return most;
}

gpuTest(
  "the polynomial is the features: any chunks give the same",
  async (_, gpu) => {
    // In one chunk nothing but the polynomial, in chunks of 4 almost none of it.
    const cases = [4, 16, 64].map((chunk) => ({
      ...CASE,
      chunk,
      // Sub-chunks have to divide chunks.
      subChunk: 4,
    }));
    const [small, middle, whole] = await runFeatures(gpu, cases);
    const c = { ...CASE, chunk: 64 };
    const [bound, most] = [boundOf(c), outputBound(c, whole.output)];
    for (const other of [small, middle]) {
      assert(differenceOf(other.state, whole.state) <= 2 * bound.state);
      assert(differenceOf(other.output, whole.output) <= 2 * most);
    }
  },
);

gpuTest(
  "a state of features is handed over, down to single tokens",
  async (_, gpu) => {
    const c = { ...CASE, sequences: [23] };
    const [all] = await runFeatures(gpu, [c]);
    const width = {
      query: c.queryHeads * c.headDim,
      output: c.queryHeads * c.valueHeadDim,
    };
    let state: Float32Array | undefined;
    const outputs: number[] = [];
    for (const [first, end] of [[0, 17], [17, 18], [18, 19], [19, 23]]) {
      const [part] = await runFeatures(gpu, [c], () => ({
        part: { first, end },
        ...state && { initialState: state },
      }));
      state = part.state as Float32Array;
      outputs.push(...Array.from(part.output));
    }
    assertEquals(outputs.length, 23 * width.output);
    const bound = boundOf(c);
    assert(differenceOf(state!, all.state) <= 2 * bound.state);
    const most = 2 * outputBound(c, all.output);
    assert(differenceOf(outputs, all.output) <= most);
  },
);

gpuTest(
  "a sequence's features do not depend on its batch, nor on the run",
  async (_, gpu) => {
    const both = { ...CASE, layout: "ragged" as const, sequences: [40, 9] };
    const [one, again, alone] = await runFeatures(gpu, [
      both,
      both,
      { ...both, sequences: [40] },
    ]);
    assertEquals(one, again);
    const { output, state } = alone;
    assertEquals(one.output.length > output.length, true);
    assertEquals(Array.from(one.output).slice(0, output.length), [
      ...Array.from(output),
    ]);
    assertEquals(Array.from(one.state).slice(0, state.length), [
      ...Array.from(state),
    ]);
  },
);

gpuTest(
  "a prefix of no rows is none, and its padding is not read",
  async (_, gpu) => {
    const lengths = [17, 5];
    const prefixes = [
      undefined,
      prefixOf(CASE, [0, 0], { rows: 3 }),
      prefixOf(CASE, lengths, { rows: 20 }),
      prefixOf(CASE, lengths, { rows: 20, poison: 1e30 }),
      prefixOf(CASE, lengths, { rows: 17, poison: 0 }),
    ];
    const [none, empty, padded, large, tight] = await runFeatures(
      gpu,
      prefixes.map(() => CASE),
      (_, i) => prefixes[i] ? { prefix: prefixes[i] } : {},
    );
    assertEquals(empty, none);
    assertEquals(large, padded);
    assertEquals(tight, padded);
    assert(differenceOf(padded.output, none.output) > 0.01);
  },
);

gpuTest(
  "a prefix is a state to begin with, in any order of its rows",
  async (_, gpu) => {
    const c = { ...CASE, sequences: [24] };
    const prefix = prefixOf(c, [24]);
    const [found, other] = await runFeatures(
      gpu,
      [c, c],
      (_, i) => ({ prefix: i === 0 ? prefix : permuted(c, prefix) }),
    );
    const bound = boundOf(c);
    assert(differenceOf(found.state, other.state) <= 4 * bound.state);
    // The encoder alone: the prefix's keys and values as tokens.
    const [encoder] = await runFeatures(gpu, [c], () => ({
      rows: { key: prefix.key, value: prefix.value },
    }));
    const [after] = await runFeatures(gpu, [c], () => ({
      initialState: encoder.state as Float32Array,
    }));
    assertEquals(after, found);
    // Both: what is given is added to, and nothing is lost.
    const [twice, sum] = await runFeatures(gpu, [c, c], (_, i) => ({
      initialState: i === 0
        ? encoder.state as Float32Array
        : doubled(encoder.state),
      ...i === 0 && { prefix },
    }));
    assert(differenceOf(twice.state, sum.state) <= 4 * bound.state);
  },
);

function doubled(state: ArrayLike<number>): Float32Array {
  return Float32Array.from(state, (x) => 2 * x);
}

gpuTest(
  "linearAttention({ prefix }) is JRT-RNN's definition",
  async (_, gpu) => {
    const cases = [
      { ...CASE, sequences: [20] },
      { ...CASE, sequences: [20], queryHeads: 1, valueHeads: 1, seed: 8 },
    ];
    const lengths = [20, 7];
    const prefixes = cases.map((c, i) => prefixOf(c, [lengths[i]]));
    const results = await runFeatures(
      gpu,
      cases,
      (_, i) => ({ prefix: prefixes[i] }),
    );
    cases.forEach((c, i) => {
      const problem = {
        ...linearProblemOf(c),
        prefix: lengths[i],
        encoderKey: prefixes[i].key,
        encoderValue: prefixes[i].value,
        eps: c.eps,
      };
      const features = prefixLinearProblem(problem);
      const { state } = recurrentLinearAttention(features);
      const bound = linearErrorBound(features, {
        chunk: 16,
        gate: LINEAR_GATES.wgsl,
      });
      assert(differenceOf(results[i].state, state) <= bound.state);
      const expected = prefixLinearAttention(problem);
      const largest = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
      // Every weight is at least a half, so that sums are, of these many.
      const least = (lengths[i] + 1) / 2;
      const most = bound.output * (1 + largest) / least;
      assert(differenceOf(results[i].output, expected) <= most);
    });
  },
);

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  compareErrors,
  compareWithBound,
  linearAttentionBackward,
  type LinearAttentionProblem,
  type LinearBackwardProblem,
  type LinearErrorBound,
  linearErrorBound,
  type LinearGradientBound,
  linearGradientBound,
  type LinearGradients,
  naiveLinearAttention,
  naiveLinearAttentionBackward,
  recurrentLinearAttention,
  shadowLinearAttention,
  shadowLinearAttentionBackward,
} from "../../../reference/mod.ts";
import { mismatchTable } from "../../../reference/mismatch_table.ts";
import {
  type LinearCase,
  linearCases,
  linearDataOf,
  linearProblemOf,
  linearUpstreamOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { type LinearArrays, scalar } from "./cases.ts";

const longer = {
  sequences: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 2 }),
  headDim: fc.integer({ min: 1, max: 17 }),
  valueHeadDim: fc.integer({ min: 1, max: 9 }),
};

const chunks = fc.constantFrom(
  { chunk: 1, subChunk: 1 },
  { chunk: 4, subChunk: 4 },
  { chunk: 16, subChunk: 4 },
  { chunk: 64, subChunk: 16 },
);

function assertWithin(
  actual: LinearArrays,
  expected: LinearArrays,
  bound: LinearErrorBound,
): void {
  for (const part of ["output", "state"] as const) {
    const arrays = { actual: actual[part], expected: expected[part] };
    const { ok, where } = compareWithBound({ ...arrays, bound: bound[part] });
    if (ok) continue;
    const table = mismatchTable({ ...arrays, where, bound: bound[part] });
    throw new Error(`${part}: ${table}`);
  }
}

property(
  "shadowLinearAttention() is within the working bound",
  [linearCases(longer), chunks],
  (c, options) => {
    const problem = linearProblemOf(c);
    const actual = shadowLinearAttention(problem, options);
    const bound = linearErrorBound(problem, options);
    assertWithin(actual, recurrentLinearAttention(problem), bound);
  },
  { runs: 40 },
);

property(
  "naiveLinearAttention() is within the working bound of chunks of a token",
  [linearCases(longer)],
  (c) => {
    const problem = linearProblemOf(c);
    const actual = naiveLinearAttention({ ...problem, precision: "f32" });
    const bound = linearErrorBound(problem, { chunk: 1 });
    assertWithin(actual, recurrentLinearAttention(problem), bound);
  },
  { runs: 40 },
);

property(
  "shadowLinearAttention() of float16 is within the bound with its rounding",
  [linearCases({ ...longer, dtype: fc.constant("f16") }), chunks],
  (c, options) => {
    const problem = linearProblemOf(c);
    const actual = shadowLinearAttention(problem, {
      ...options,
      inputs: "f16",
    });
    const bound = linearErrorBound(problem, { ...options, stored: "f16" });
    assertWithin(actual, recurrentLinearAttention(problem), bound);
  },
  { runs: 40 },
);

/**
 * Weak gates after strong ones: their sum keeps few bits of the weak. So the
 * ratio rule is none for chunks, and the bounds have to know of it.
 */
function uneven(): LinearAttentionProblem {
  const tokens = 64;
  return scalar({
    value: Array.from({ length: tokens }, (_, n) => Math.fround(1 / (n + 3))),
    decay: Float32Array.from(
      { length: tokens },
      (_, n) => n % 8 === 0 ? -100.3 : -0.01,
    ),
    decayShape: "head",
  });
}

Deno.test("shadowLinearAttention() may be far worse than the naive version", () => {
  const problem = uneven();
  const expected = recurrentLinearAttention(problem);
  const naive = naiveLinearAttention({ ...problem, precision: "f32" });
  const actual = shadowLinearAttention(problem, { chunk: 64 });
  const ratio = compareErrors({
    actual: actual.output,
    expected: expected.output,
    naive: naive.output,
    precision: "f32",
  });
  assert(!ratio.ok && ratio.max > 10 * ratio.naiveMax);
  assertWithin(actual, expected, linearErrorBound(problem, { chunk: 64 }));
});

Deno.test("shadowLinearAttentionBackward() may be far worse than the naive version", () => {
  const outputGradient = new Array(64).fill(1);
  const problem = { ...uneven(), outputGradient };
  const expected = linearAttentionBackward(problem);
  const naive = naiveLinearAttentionBackward({ ...problem, precision: "f32" });
  const actual = shadowLinearAttentionBackward(problem, { chunk: 64 });
  const ratio = compareErrors({
    actual: actual.valueGradient,
    expected: expected.valueGradient,
    naive: naive.valueGradient,
    precision: "f32",
  });
  assert(!ratio.ok && ratio.max > 10 * ratio.naiveMax);
  const bounds = linearGradientBound(problem, { chunk: 64 });
  assertGradientsWithin(actual, expected, bounds);
});

Deno.test("linearErrorBound() takes no fault for rounding", () => {
  const c: LinearCase = {
    ...PLAIN_LINEAR,
    sequences: [40],
    decay: "channel",
    beta: "head",
  };
  const problem = linearProblemOf(c);
  const bound = linearErrorBound(problem, { chunk: 16, gate: 4 });
  const expected = recurrentLinearAttention(problem);
  let largest = 0;
  expected.output.forEach((x) => largest = Math.max(largest, Math.abs(x)));
  assert(bound.output < 1e-4 * largest);
  // One gate of one channel of one token, wrong by a thousandth.
  const { decay, ...data } = linearDataOf(c);
  const wrong = decay!.slice();
  wrong[16 * 20] -= 1e-3;
  const { output } = recurrentLinearAttention(
    linearProblemOf(c, { ...data, decay: wrong }),
  );
  const actual = output;
  const { ok } = compareWithBound({
    actual,
    expected: expected.output,
    bound: bound.output,
  });
  assert(!ok);
});

Deno.test("shadowLinearAttention() stays finite under extreme decay", () => {
  for (const decay of ["channel", "head"] as const) {
    const problem = linearProblemOf({
      ...PLAIN_LINEAR,
      sequences: [40],
      decay,
      gates: "extreme",
    });
    const { output, state } = shadowLinearAttention(problem, {
      chunk: 32,
      subChunk: 8,
    });
    assert(output.every(Number.isFinite) && state.every(Number.isFinite));
  }
});

Deno.test("shadowLinearAttention() rounds inputs and output to their storage", () => {
  const value = [1 + 2 ** -12, 2 ** -11];
  const { output, state } = shadowLinearAttention(scalar({ value }), {
    chunk: 2,
    inputs: "f16",
  });
  assertEquals([...output], [1, 1]);
  assertEquals([...state], [1 + 2 ** -11]);
});

/** A case with what comes back. */
function backwardOf(c: LinearCase): LinearBackwardProblem {
  return { ...linearProblemOf(c), ...linearUpstreamOf(c) };
}

function assertGradientsWithin(
  actual: LinearGradients<Float32Array>,
  expected: LinearGradients<Float64Array>,
  bounds: LinearGradientBound,
): void {
  for (const name of Object.keys(bounds) as (keyof LinearGradientBound)[]) {
    const arrays = { actual: actual[name], expected: expected[name] };
    const bound = bounds[name];
    const { ok, where } = compareWithBound({ ...arrays, bound });
    if (ok) continue;
    throw new Error(`${name}: ${mismatchTable({ ...arrays, where, bound })}`);
  }
}

property(
  "shadowLinearAttentionBackward() is within the working bound",
  [linearCases(longer), chunks],
  (c, options) => {
    const problem = backwardOf(c);
    assertGradientsWithin(
      shadowLinearAttentionBackward(problem, options),
      linearAttentionBackward(problem),
      linearGradientBound(problem, options),
    );
  },
  { runs: 25 },
);

property(
  "naiveLinearAttentionBackward() is within the working bound of chunks of a token",
  [linearCases(longer)],
  (c) => {
    const problem = backwardOf(c);
    assertGradientsWithin(
      naiveLinearAttentionBackward({ ...problem, precision: "f32" }),
      linearAttentionBackward(problem),
      linearGradientBound(problem, { chunk: 1 }),
    );
  },
  { runs: 25 },
);

property(
  "shadowLinearAttentionBackward() of float16 is within the bound with its rounding",
  [linearCases({ ...longer, dtype: fc.constant("f16") }), chunks],
  (c, options) => {
    const problem = backwardOf(c);
    assertGradientsWithin(
      shadowLinearAttentionBackward(problem, { ...options, inputs: "f16" }),
      linearAttentionBackward(problem),
      linearGradientBound(problem, { ...options, stored: "f16" }),
    );
  },
  { runs: 25 },
);

Deno.test("linearGradientBound() takes no fault for rounding", () => {
  const c: LinearCase = {
    ...PLAIN_LINEAR,
    sequences: [40],
    decay: "channel",
    beta: "head",
  };
  const problem = backwardOf(c);
  const bounds = linearGradientBound(problem, { chunk: 16, gate: 4 });
  const expected = linearAttentionBackward(problem);
  // One gate of one channel of one token, wrong by a thousandth.
  const decay = Float32Array.from(problem.decay!);
  decay[16 * 20] -= 1e-3;
  const wrong = linearAttentionBackward({ ...problem, decay });
  for (const name of Object.keys(bounds) as (keyof LinearGradientBound)[]) {
    let largest = 0;
    expected[name].forEach((x) => largest = Math.max(largest, Math.abs(x)));
    assert(bounds[name] < 1e-3 * largest, name);
  }
  for (
    const name of ["queryGradient", "keyGradient", "decayGradient"] as const
  ) {
    const { ok } = compareWithBound({
      actual: wrong[name],
      expected: expected[name],
      bound: bounds[name],
    });
    assert(!ok, name);
  }
});

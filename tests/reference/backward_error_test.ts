import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attentionBackward,
  type BackwardProblem,
  compareWithBound,
  gradientBound,
  naiveAttentionBackward,
  shadowAttention,
  shadowAttentionBackward,
  storedOutputError,
} from "../../reference/mod.ts";
import { roundAll } from "../../reference/naive.ts";
import { property } from "../support/property.ts";
import { backwardOf, type Case, cases, coin } from "./cases.ts";
import {
  assertGradientsAsNaive,
  assertGradientsWithin,
  GRADIENTS,
} from "./gradient_cases.ts";

const odd = cases({
  queryLength: fc.oneof(fc.nat(9), fc.constantFrom(16, 17, 33)),
  keyLength: fc.oneof(fc.nat(9), fc.constantFrom(31, 32, 65, 129)),
  headDim: fc.constantFrom(1, 3, 8, 16, 31, 40, 64),
  logitScale: fc.constantFrom(0, 1, 2, 4, 8, 16),
});

const tiles = fc.record({
  rows: fc.constantFrom(1, 2, 5, 16, 64),
  keys: fc.constantFrom(1, 2, 7, 16, 32, 200),
});

type Tiles = { rows: number; keys: number };

/** Drops a third, if asked to. */
function withDropout(problem: BackwardProblem, drop: boolean): BackwardProblem {
  if (drop) {
    problem.keep = (b, h, i, j) => coin(b, h, i) && coin(h, i, j) ? 0 : 1.5;
  }
  return problem;
}

function shadowOf(
  problem: BackwardProblem,
  tiles: Tiles,
  inputs: "f32" | "f16" = "f32",
) {
  const saved = shadowAttention(problem, { ...tiles, inputs });
  return shadowAttentionBackward(problem, { ...tiles, inputs, saved });
}

property(
  "shadowAttentionBackward() is within the working bound",
  [odd, tiles, fc.boolean()],
  (c, tiles, drop) => {
    const problem = withDropout(backwardOf(c), drop);
    const bound = gradientBound(problem, tiles);
    const expected = attentionBackward(problem);
    assertGradientsWithin(shadowOf(problem, tiles), expected, bound);
  },
  { runs: 200 },
);

property(
  "shadowAttentionBackward() is within the bound at logits of +-1e4",
  [odd, tiles],
  (c, tiles) => {
    const problem = backwardOf({ ...c, logitScale: 1e4 });
    const bound = gradientBound(problem, tiles);
    const expected = attentionBackward(problem);
    assertGradientsWithin(shadowOf(problem, tiles), expected, bound);
  },
  { runs: 60 },
);

property(
  "naiveAttentionBackward() in f32 is within the working bound",
  [odd, fc.boolean()],
  (c, drop) => {
    const problem = withDropout(backwardOf(c), drop);
    // Its sums run term after term, as with tiles of one.
    const bound = gradientBound(problem, { rows: 1, keys: 1 });
    const actual = naiveAttentionBackward({ ...problem, precision: "f32" });
    assertGradientsWithin(actual, attentionBackward(problem), bound);
  },
);

property(
  "shadowAttentionBackward() in f16 keeps the ratio rule",
  [odd, tiles, fc.boolean()],
  (c, tiles, drop) => {
    const problem = withDropout(backwardOf(c, "f16"), drop);
    const shadow = shadowOf(problem, tiles, "f16");
    const naive = naiveAttentionBackward({ ...problem, precision: "f16" });
    assertGradientsAsNaive(shadow, problem);
    for (const name of GRADIENTS) {
      assertEquals(shadow[name], roundAll("f16", shadow[name]));
      assertEquals(naive[name], roundAll("f16", naive[name]));
    }
  },
  { runs: 150 },
);

const SHAPE: Case = {
  seed: 5,
  batch: 1,
  queryLength: 7,
  keyLength: 9,
  kvHeads: 1,
  queriesPerKvHead: 2,
  headDim: 4,
  valueHeadDim: 3,
  logitScale: 1,
  mask: "causal",
  score: "softcap",
};

Deno.test("gradientBound() notices what it is there to notice", () => {
  const problem = backwardOf(SHAPE);
  const tiles = { rows: 2, keys: 4 };
  const bounds = gradientBound(problem, { ...tiles, gate: 4 });
  const right = attentionBackward(problem);
  const scaled = problem.outputGradient.length;
  // Each a fault that a kernel might have.
  const faults: Record<string, Partial<BackwardProblem>> = {
    "no dL": { lseGradient: undefined },
    "no slope": { scoreDerivative: () => 1 },
    "last dO twice": {
      outputGradient: Array.from(
        problem.outputGradient,
        (x, n) => n === scaled - 1 ? 2 * x : x,
      ),
    },
    "scale off": { scale: 0.5001 },
  };
  for (const [fault, change] of Object.entries(faults)) {
    const wrong = attentionBackward({ ...problem, ...change });
    const noticed = GRADIENTS.some((name) =>
      !compareWithBound({
        actual: wrong[name],
        expected: right[name],
        bound: bounds[name],
      }).ok
    );
    assert(noticed, fault);
  }
});

Deno.test("gradientBound() is the formula of its header", () => {
  // One key: its weight is 1 and ds is 0, and so are dq and dk.
  const problem: BackwardProblem = {
    query: [2, 0],
    key: [3, 0],
    value: [5],
    batch: 1,
    queryLength: 1,
    keyLength: 1,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 2,
    valueHeadDim: 1,
    scale: 0.5,
    outputGradient: [-4],
  };
  const e = 2 ** -24 * (4 + Math.sqrt(3) + 2 * 3);
  const bound = gradientBound(problem, { rows: 1, keys: 1 });
  // dv = p dO, twice.
  assertEquals(bound.valueGradient, e * 4 + e * 4);
  // w = e |dO| |v|.
  assertEquals(bound.keyGradient, 0.5 * e * 20 * 2);
  assertEquals(bound.queryGradient, 2 * (0.5 * e * 20 * 3));
  const gated = gradientBound(problem, { rows: 1, keys: 1, gate: 4 });
  assertEquals(gated.valueGradient, 4 * bound.valueGradient);
});

Deno.test("gradientBound() lets subnormal gradients become 0", () => {
  const problem: BackwardProblem = {
    query: [1, NaN],
    key: [0, 1, 0.5, 0],
    value: [0, 0],
    batch: 1,
    queryLength: 1,
    keyLength: 2,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 2,
    valueHeadDim: 1,
    scale: 0.5,
    // Only what is counted: the row sees no key, so that all else is 0.
    mask: () => false,
    outputGradient: [2],
  };
  const bound = gradientBound(problem, { rows: 1, keys: 1 });
  const least = 2 ** -126;
  assertEquals(bound.queryGradient, least * (1 + 2 * 1.5));
  assertEquals(bound.keyGradient, least * (1 + 1 * 1.5));
  assertEquals(bound.valueGradient, least * (1 + 1 * 3));
});

Deno.test("the ratio rule allows what storing the output loses", () => {
  // Found by a sweep: one key, whose gradient naive has right by luck.
  const problem = withDropout(
    backwardOf({
      ...SHAPE,
      seed: 186164,
      queryLength: 3,
      keyLength: 1,
      queriesPerKvHead: 1,
      headDim: 1,
      valueHeadDim: 5,
      mask: "window",
      score: "distance",
    }, "f16"),
    true,
  );
  const shadow = shadowOf(problem, { rows: 5, keys: 2 }, "f16");
  assertGradientsAsNaive(shadow, problem);
  // By a formula: D off by 2^-11 |dO O|, one key, ds times as much.
  const one: BackwardProblem = {
    query: [2],
    key: [3],
    value: [5],
    batch: 1,
    queryLength: 1,
    keyLength: 1,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    scale: 0.5,
    outputGradient: [-4],
  };
  const lost = storedOutputError(one);
  const floor = (error: number) => ({ max: error, mean: error });
  assertEquals(lost.queryGradient, floor(2 ** -11 * 20 * 0.5 * 3));
  assertEquals(lost.keyGradient, floor(2 ** -11 * 20 * 0.5 * 2));
  assertEquals(lost.valueGradient, floor(0));
});

Deno.test("shadowAttentionBackward() gives 0 to rows without keys", () => {
  for (const change of [{ mask: "nothing" }, { keyLength: 0 }] as const) {
    const problem = backwardOf({ ...SHAPE, ...change });
    const gradients = shadowOf(problem, { rows: 2, keys: 2 });
    const naive = naiveAttentionBackward({ ...problem, precision: "f16" });
    for (const name of GRADIENTS) {
      assert(gradients[name].every((x) => x === 0));
      assert(naive[name].every((x) => x === 0));
    }
  }
});

Deno.test("shadowAttentionBackward() refuses empty tiles", () => {
  const problem = backwardOf(SHAPE);
  for (const name of ["rows", "keys"] as const) {
    const tiles = { rows: 1, keys: 1, [name]: 0 };
    const saved = shadowAttention(problem, { rows: 1, keys: 1 });
    assertThrows(
      () => shadowAttentionBackward(problem, { ...tiles, saved }),
      RangeError,
      `${name} must be an integer >= 1`,
    );
    assertThrows(
      () => gradientBound(problem, tiles),
      RangeError,
      `${name} must be an integer >= 1`,
    );
  }
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  compareErrors,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import { differenceOf } from "../../reference/error.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";
import { problemOf } from "./cases.ts";

Deno.test("differenceOf() finds the worst element", () => {
  const difference = differenceOf([1, 2, 7, 4], [1, 3, 4, 4]);
  assertEquals(difference, { max: 3, mean: 1, where: 2 });
  assertEquals(differenceOf([], []), { max: 0, mean: 0, where: -1 });
});

Deno.test("differenceOf() takes equal infinities for equal", () => {
  const { max } = differenceOf([-Infinity, 1], [-Infinity, 1]);
  assertEquals(max, 0);
  assertEquals(differenceOf([0], [-Infinity]).max, Infinity);
});

Deno.test("differenceOf() reports the first NaN", () => {
  const nan = { max: NaN, mean: NaN, where: 1 };
  assertEquals(differenceOf([9, NaN, NaN], [1, 2, 3]), nan);
  assertEquals(differenceOf([9, 2], [1, NaN]), nan);
});

Deno.test("differenceOf() refuses arrays of different lengths", () => {
  const call = () => differenceOf([1], [1, 2]);
  assertThrows(call, TypeError, "actual must have as many elements");
});

Deno.test("compareWithBound() includes the bound and fails a NaN", () => {
  const expected = [1, 2];
  const ok = (actual: number[], bound: number) =>
    compareWithBound({ actual, expected, bound }).ok;
  assertEquals(ok([1, 2.5], 0.5), true);
  assertEquals(ok([1, 2.5], 0.49), false);
  assertEquals(ok([NaN, 2], Infinity), false);
  assertEquals(ok([1, 2], NaN), false);
});

Deno.test("errorBound() is the formula of its header", () => {
  // One key, score 1 * 3 * 1/2, value 5: smax = 1.5, d = 4, Tc = 1, Bc = 4.
  const problem = {
    query: [1, 0, 0, 0],
    key: [3, 0, 0, 0],
    value: [5, -7],
    batch: 1,
    queryLength: 1,
    keyLength: 1,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 4,
    valueHeadDim: 2,
  };
  const u = 2 ** -24;
  const lse = u * (4 + Math.sqrt(1 + 2 + 2) + (1 + 2) * 1.5);
  const gate = { output: 1, lse: 1 };
  const bound = errorBound(problem, { keys: 4, gate });
  assertEquals(bound, { output: lse * 7, lse });
  const shadow = errorBound(problem, { keys: 4 });
  assertEquals(shadow, { output: lse * 7, lse: 2 * lse });
  const wgsl = errorBound(problem, { keys: 4, gate: GATES.wgsl });
  assertEquals(wgsl, { output: 4 * lse * 7, lse: 4 * lse });
});

Deno.test("errorBound() looks at terms where their sum cancels", () => {
  const problem = {
    query: [3, 4],
    key: [4, -3],
    value: [1],
    batch: 1,
    queryLength: 1,
    keyLength: 1,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 2,
    valueHeadDim: 1,
    scale: -1,
  };
  const gate = { output: 1, lse: 1 };
  const bound = (score?: (s: number) => number) =>
    errorBound({ ...problem, score }, { keys: 1, gate }).lse;
  // The product is 0, its terms are 12 and -12.
  const formula = (smax: number) => 2 ** -24 * (4 + Math.sqrt(3) + 2 * smax);
  assertEquals(bound(), formula(Math.sqrt(288)));
  assert(Math.abs(bound((s) => s / 2) / formula(Math.sqrt(72)) - 1) < 1e-6);
  // A score function that forgets the product forgets its error.
  assertEquals(bound(() => 0.25), formula(0.25));
});

Deno.test("errorBound() ignores what nobody sees", () => {
  const problem = problemOf({
    seed: 3,
    batch: 1,
    queryLength: 2,
    keyLength: 3,
    kvHeads: 1,
    queriesPerKvHead: 1,
    headDim: 2,
    valueHeadDim: 2,
    logitScale: 1,
    mask: "none",
    score: "none",
  });
  const mask = (_b: number, _h: number, _i: number, j: number) => j < 2;
  const clean = errorBound({ ...problem, mask }, { keys: 2 });
  const value = Float64Array.from(problem.value).fill(NaN, 4);
  const key = Float64Array.from(problem.key).fill(1e30, 4);
  assertEquals(
    errorBound({ ...problem, mask, key, value }, { keys: 2 }),
    clean,
  );
});

const expected = Array.from({ length: 64 }, (_, n) => 1 + n / 61);
const off = (error: number) =>
  expected.map((x, n) => x + (n % 2 ? error : -error));

Deno.test("compareErrors() allows twice the naive maximum and 1.1 the mean", () => {
  // Errors so large that the floor does not show: 2 for one, 1.09 for all.
  const naive = off(1);
  const one = (error: number) => expected.map((x, n) => n ? x : x + error);
  assertEquals(compareErrors({ actual: one(2), expected, naive }).ok, true);
  assertEquals(compareErrors({ actual: one(2.01), expected, naive }).ok, false);
  assertEquals(compareErrors({ actual: off(1.09), expected, naive }).ok, true);
  assertEquals(compareErrors({ actual: off(1.11), expected, naive }).ok, false);
  const single = { actual: off(1.11), expected, naive, precision: "f32" };
  assertEquals(compareErrors({ ...single, precision: "f32" }).ok, true);
});

Deno.test("compareErrors() allows correct rounding where naive is exact", () => {
  for (const precision of ["f16", "f32"] as const) {
    const round = precision === "f16" ? Math.f16round : Math.fround;
    const actual = expected.map(round);
    const naive = expected;
    assertEquals(
      compareErrors({ actual, expected, naive, precision }).ok,
      true,
    );
    const ulp = precision === "f16" ? 2 ** -10 : 2 ** -23;
    const wrong = actual.map((x) => x + 4 * ulp);
    const comparison = { actual: wrong, expected, naive, precision };
    assertEquals(compareErrors(comparison).ok, false);
  }
});

Deno.test("compareErrors() fails any NaN, and a NaN naive excuses none", () => {
  const naive = off(1);
  const nan = expected.map((x, n) => n === 5 ? NaN : x);
  const comparison = compareErrors({ actual: nan, expected, naive });
  assertEquals([comparison.ok, comparison.where], [false, 5]);
  assertEquals(compareErrors({ actual: off(0.5), expected, naive }).ok, true);
  for (const bad of [nan, expected.map(() => Infinity)]) {
    const excused = compareErrors({ actual: off(0.5), expected, naive: bad });
    assertEquals(excused.ok, false);
    const right = { actual: expected, expected, naive: bad };
    assertEquals(compareErrors(right).ok, true);
  }
  assertEquals(compareErrors({ actual: nan, expected, naive: nan }).ok, false);
});

Deno.test("mismatchTable() names the element and marks the wrong ones", () => {
  const table = mismatchTable({
    actual: [0, 1, 2, 3.5, NaN, 5, 6],
    expected: [0, 1, 2, 3, 4, 5, 6],
    where: 4,
    bound: 0.1,
    shape: [1, 7],
    around: 2,
  });
  assertEquals(
    table,
    `
element [0, 4] of 1 x 7: actual NaN, expected 4, error NaN, bound 0.1
   index    2   3   4 5 6
  actual == 2 3.5 NaN 5 6
  failed ->    xx  xx
expected == 2   3   4 5 6`.slice(1),
  );
});

import { assertEquals, assertNotEquals } from "@std/assert";
import { attention, errorBound, naiveAttention } from "../../reference/mod.ts";
import { roundAll } from "../../reference/naive.ts";
import { property } from "../support/property.ts";
import { assertWithin, cases, problemOf } from "./cases.ts";

property(
  "naiveAttention() in f32 is within the working bound",
  [cases()],
  (c) => {
    const problem = problemOf(c);
    const actual = naiveAttention({ ...problem, precision: "f32" });
    // Its sums run key after key, as with tiles of one key.
    const bound = errorBound(problem, { keys: 1 });
    assertWithin(actual, attention(problem), bound);
  },
);

property(
  "naiveAttention() in f16 stores what f16 can hold, close to float64",
  [cases()],
  (c) => {
    const problem = problemOf({ ...c, logitScale: 1 }, "f16");
    const actual = naiveAttention({ ...problem, precision: "f16" });
    assertEquals(actual.output, roundAll("f16", actual.output));
    // Twice the same bound, with the unit roundoff of float16: S and P each
    // lose one.
    const { output, lse } = errorBound(problem, { keys: 1 });
    const factor = 2 * 2 ** 13;
    const bound = { output: factor * output, lse: factor * lse };
    assertWithin(actual, attention(problem), bound);
  },
);

Deno.test("naiveAttention() rounds inputs, S, P and O to f16", () => {
  const run = (precision: "f16" | "f32", key: number[], value: number[]) =>
    naiveAttention({
      query: [1],
      key,
      value,
      batch: 1,
      queryLength: 1,
      keyLength: 2,
      queryHeads: 1,
      kvHeads: 1,
      headDim: 1,
      scale: 1,
      score: (s) => s * 1.001,
      precision,
    }).output[0];
  // Weights near 1/7 and 6/7 against values whose sum shows every rounding.
  const round = Math.f16round;
  const s = round(round(Math.log(6)) * 1.001);
  const [p, q] = [1 / (1 + Math.exp(s)), 1 / (1 + Math.exp(-s))];
  const expected = round(round(p) * 6144 - round(q) * 1024);
  assertEquals(run("f16", [0, Math.log(6)], [6144, -1024]), expected);
  assertNotEquals(round(p * 6144 - q * 1024), expected);
  // 2049 is no f16 and rounds to 2048.
  assertEquals(run("f16", [0, 0], [2049, -2048]), 0);
  assertEquals(run("f32", [0, 0], [2049, -2048]), 0.5);
  assertEquals(run("f16", [0, 0], [2048, 2050]), 2048);
});

Deno.test("naiveAttention() rounds S to f16 before and after the score", () => {
  const problem = {
    query: [1],
    key: [100, 100],
    value: [1, 3],
    batch: 1,
    queryLength: 1,
    keyLength: 2,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    precision: "f16",
  } as const;
  // At 100 a unit of f16 is 1/16: a hundredth is lost, and the weights equal.
  const before = naiveAttention({
    ...problem,
    scale: 1.0001,
    score: (s, _b, _h, _i, j) => j === 0 ? s * 16 - 1500 : 100,
  });
  assertEquals(before.output[0], 2);
  const after = naiveAttention({
    ...problem,
    scale: 1,
    score: (s, _b, _h, _i, j) => s + 0.01 * j,
  });
  assertEquals(after.output[0], 2);
});

Deno.test("naiveAttention() gives 0 and -Infinity to a row without keys", () => {
  const { output, lse } = naiveAttention({
    query: [1],
    key: [1],
    value: [NaN],
    batch: 1,
    queryLength: 1,
    keyLength: 1,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    mask: () => false,
    precision: "f16",
  });
  assertEquals([...output, ...lse], [0, -Infinity]);
});

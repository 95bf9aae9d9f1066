import { assert, assertEquals } from "@std/assert";
import {
  attention,
  dropoutKeep,
  errorBound,
  type KeepFunction,
  naiveAttention,
  shadowAttention,
} from "../../reference/mod.ts";
import fc from "fast-check";
import { property } from "../support/property.ts";
import { assertWithin, type Case, cases, problemOf } from "./cases.ts";

const drops = fc.record({
  rate: fc.constantFrom(0.1, 0.5, 0.95),
  seed: fc.nat(),
});

property(
  "attention() drops weights after the softmax",
  [cases(), drops],
  (c, drop) => {
    const problem = problemOf(c);
    const keep = dropoutKeep(drop);
    const { output, lse } = attention({ ...problem, keep });
    assertEquals(lse, attention(problem).lse);
    // Each key's own output, from values of which all others are 0.
    const sum = new Float64Array(output.length);
    const width = c.kvHeads * c.valueHeadDim;
    for (let j = 0; j < c.keyLength; j++) {
      const value = Float64Array.from(
        problem.value,
        (x, n) => Math.floor(n / width) % c.keyLength === j ? x : 0,
      );
      const one = attention({ ...problem, value });
      one.output.forEach((x, n) => {
        const row = Math.floor(n / c.valueHeadDim);
        const heads = c.kvHeads * c.queriesPerKvHead;
        const h = row % heads;
        const i = Math.floor(row / heads) % c.queryLength;
        const b = Math.floor(row / heads / c.queryLength);
        const position = i + c.keyLength - c.queryLength;
        sum[n] += x * keep(b, h, position, j);
      });
    }
    sum.forEach((x, n) => assert(Math.abs(x - output[n]) < 1e-9));
  },
  { runs: 60 },
);

property(
  "shadowAttention() and naiveAttention() drop within the working bound",
  [cases(), drops, fc.constantFrom(1, 3, 16), fc.constantFrom(1, 3)],
  (c, drop, keys, splits) => {
    const problem = { ...problemOf(c), keep: dropoutKeep(drop) };
    const expected = attention(problem);
    const bound = errorBound(problem, { keys });
    const shadow = shadowAttention(problem, { rows: 4, keys, splits });
    assertWithin(shadow, expected, bound);
    const naive = naiveAttention({ ...problem, precision: "f32" });
    assertWithin(naive, expected, errorBound(problem, { keys: 1 }));
  },
);

const SHAPE: Case = {
  seed: 3,
  batch: 2,
  queryLength: 3,
  keyLength: 12,
  kvHeads: 1,
  queriesPerKvHead: 2,
  headDim: 4,
  valueHeadDim: 3,
  logitScale: 1,
  mask: "causal",
  score: "none",
};

Deno.test("the mean over seeds is attention() without dropout", () => {
  const seeds = 3000;
  const problem = problemOf(SHAPE);
  const whole = attention(problem).output;
  for (const rate of [0.1, 0.5]) {
    const sum = new Float64Array(whole.length);
    const squares = new Float64Array(whole.length);
    for (let seed = 0; seed < seeds; seed++) {
      const keep: KeepFunction = dropoutKeep({ rate, seed });
      attention({ ...problem, keep }).output.forEach((x, n) => {
        sum[n] += x - whole[n];
        squares[n] += (x - whole[n]) ** 2;
      });
    }
    sum.forEach((total, n) => {
      // Of 36 normal numbers, one is over 4.5 in five thousand times.
      const deviations = total / Math.sqrt(squares[n]);
      assert(Math.abs(deviations) < 4.5, `${n}: ${deviations}`);
    });
  }
});

Deno.test("attention() with a rate of 0 is attention()", () => {
  const problem = problemOf(SHAPE);
  const keep = dropoutKeep({ rate: 0, seed: 4 });
  assertEquals(attention({ ...problem, keep }), attention(problem));
});

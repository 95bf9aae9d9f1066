import { assert, assertEquals } from "@std/assert";
import {
  naiveLinearAttention,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { roundAll } from "../../../reference/naive.ts";
import { linearCases, linearProblemOf } from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { scalar } from "./cases.ts";

Deno.test("naiveLinearAttention() rounds every step to float32", () => {
  // 2^24 + 1 is no float32, so the second of two ones is lost.
  const value = [2 ** 24, 1, 1];
  const { output, state } = naiveLinearAttention({
    ...scalar({ value }),
    precision: "f32",
  });
  assertEquals([...output], [2 ** 24, 2 ** 24, 2 ** 24]);
  assertEquals([...state], [2 ** 24]);
});

Deno.test("naiveLinearAttention() stores vectors in its precision, not states", () => {
  const value = [1, 2 ** -11];
  const { output, state } = naiveLinearAttention({
    ...scalar({ value }),
    precision: "f16",
  });
  assertEquals([...output], [1, 1]);
  assertEquals([...state], [1 + 2 ** -11]);
});

Deno.test("naiveLinearAttention() is NaN where the values are", () => {
  const { output } = naiveLinearAttention({
    ...scalar({ value: [NaN] }),
    precision: "f32",
  });
  assertEquals([...output], [NaN]);
});

property(
  "naiveLinearAttention() is the recurrence, but for rounding",
  [linearCases()],
  (c) => {
    const problem = linearProblemOf(c);
    const exact = recurrentLinearAttention(problem);
    const naive = naiveLinearAttention({ ...problem, precision: "f32" });
    for (const part of ["output", "state"] as const) {
      let largest = 0;
      exact[part].forEach((x) => largest = Math.max(largest, Math.abs(x)));
      exact[part].forEach((x, n) => {
        // What cancels leaves the error of what it was.
        assert(Math.abs(naive[part][n] - x) <= 1e-3 * largest + 1e-30);
      });
    }
    const half = naiveLinearAttention({ ...problem, precision: "f16" });
    const { output } = naiveLinearAttention({
      ...problem,
      query: roundAll("f16", problem.query),
      key: roundAll("f16", problem.key),
      value: roundAll("f16", problem.value),
      precision: "f32",
    });
    assertEquals(half.output, roundAll("f16", output));
  },
);

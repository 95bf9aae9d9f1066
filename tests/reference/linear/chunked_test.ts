import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  chunkedLinearAttention,
  naiveLinearAttention,
  quadraticLinearAttention,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { linearGeometryOf } from "../../../reference/linear/problem.ts";
import {
  linearCases,
  linearProblemOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { assertSame, scalar, separate, slice } from "./cases.ts";

const small = { min: 1, max: 3 };

property(
  "chunkedLinearAttention() is the recurrence for every chunk and sub-chunk",
  [linearCases({
    sequences: fc.array(fc.integer({ min: 0, max: 7 }), {
      minLength: 1,
      maxLength: 2,
    }),
    headDim: fc.integer(small),
    valueHeadDim: fc.integer(small),
  })],
  (c) => {
    const problem = linearProblemOf(c);
    const expected = recurrentLinearAttention(problem);
    const longest = Math.max(...c.sequences);
    for (let chunk = 1; chunk <= longest + 1; chunk++) {
      for (let subChunk = 1; subChunk <= chunk; subChunk++) {
        const actual = chunkedLinearAttention(problem, { chunk, subChunk });
        assertSame(actual, expected, problem);
      }
    }
  },
);

property(
  "chunkedLinearAttention() is the recurrence for larger problems",
  [
    linearCases({
      sequences: fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 2 }),
      headDim: fc.integer({ min: 1, max: 17 }),
      valueHeadDim: fc.integer({ min: 1, max: 9 }),
    }),
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 20 }),
  ],
  (c, chunk, subChunk) => {
    const problem = linearProblemOf(c);
    const actual = chunkedLinearAttention(problem, { chunk, subChunk });
    assertSame(actual, recurrentLinearAttention(problem), problem);
  },
  { runs: 30 },
);

property(
  "quadraticLinearAttention() is the recurrence",
  [linearCases()],
  (c) => {
    const problem = linearProblemOf(c);
    const expected = recurrentLinearAttention(problem);
    assertSame(quadraticLinearAttention(problem), expected, problem);
  },
);

property(
  "chunkedLinearAttention() hands a state over at any token",
  [linearCases(), fc.nat(), fc.integer({ min: 1, max: 9 })],
  (c, n, chunk) => {
    for (const problem of separate(linearProblemOf(c))) {
      const { tokens } = linearGeometryOf(problem);
      const at = n % (tokens + 1);
      const { initialState } = problem;
      const before = chunkedLinearAttention(
        slice(problem, { first: 0, end: at, initialState }),
        { chunk },
      );
      const after = chunkedLinearAttention(
        slice(problem, { first: at, end: tokens, initialState: before.state }),
        { chunk },
      );
      assertSame(
        {
          output: [...before.output, ...after.output],
          state: after.state,
        },
        chunkedLinearAttention(problem, { chunk }),
        problem,
      );
    }
  },
);

Deno.test("chunkedLinearAttention() of one chunk has the weights of pairs", () => {
  const problem = scalar({
    value: [1, 10, 100],
    decay: [Math.log(0.5), Math.log(0.5), Math.log(0.5)],
    decayShape: "channel",
    initialState: [8],
  });
  for (const subChunk of [1, 2, 3]) {
    const { output } = chunkedLinearAttention(problem, { chunk: 3, subChunk });
    assertEquals([...output].map((x) => Math.round(x * 1e9) / 1e9), [
      5,
      12.5,
      106.25,
    ]);
  }
});

Deno.test("chunkedLinearAttention() takes chunks of at least one token", () => {
  const problem = linearProblemOf(PLAIN_LINEAR);
  for (const options of [{ chunk: 0 }, { chunk: 2, subChunk: 0 }]) {
    assertThrows(() => chunkedLinearAttention(problem, options), RangeError);
  }
});

Deno.test("chunkedLinearAttention() stays finite where the factors apart do not", () => {
  // exp(-G) is e^100 at the second token: beyond float32, and float64 after 8.
  const problem = scalar({
    value: new Array(16).fill(1),
    decay: new Array(16).fill(-100),
    decayShape: "channel",
  });
  const naive = Math.fround(Math.exp(-100 * 16)) *
    Math.fround(Math.exp(100 * 16));
  assert(Number.isNaN(naive));
  const { output } = chunkedLinearAttention(problem, {
    chunk: 16,
    subChunk: 4,
  });
  const expected = naiveLinearAttention({ ...problem, precision: "f32" });
  assertEquals([...output].map(Math.fround), [...expected.output]);
});

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  chunkedLinearAttention,
  normalizedOutput,
  prefixLinearAttention,
  type PrefixLinearProblem,
  prefixLinearProblem,
  recurrentLinearAttention,
  taylorAttention,
  taylorProblem,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  type LinearCase,
  linearCases,
  linearProblemOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { normals, range, reorder } from "../cases.ts";
import { assertNear, slice } from "./cases.ts";

const EPS = 1e-12;

/** A case of a few sequences, each at least as long as its prefix. */
const prompts = fc.tuple(
  linearCases({
    rule: fc.constant("linear"),
    initialState: fc.constant(false),
    distribution: fc.constantFrom("unit", "normal"),
    headDim: fc.integer({ min: 1, max: 4 }),
    sequences: fc.array(fc.integer({ min: 4, max: 9 }), {
      minLength: 1,
      maxLength: 2,
    }),
  }),
  fc.integer({ min: 0, max: 4 }),
);

function problemOf(c: LinearCase, prefix: number): PrefixLinearProblem {
  const random = new Prng(c.seed + 7);
  const tokens = c.sequences.length * prefix;
  return {
    ...linearProblemOf(c),
    prefix,
    encoderKey: normals(random, tokens * c.keyHeads * c.headDim),
    encoderValue: normals(random, tokens * c.valueHeads * c.valueHeadDim),
  };
}

property(
  "prefixLinearAttention() is linear attention from the encoder's state",
  [prompts, fc.constantFrom("full", "packed"), fc.boolean()],
  ([c, prefix], layout, padded) => {
    const problem = problemOf(c, prefix);
    if (padded) {
      const random = new Prng(c.seed + 9);
      const some = (array: ArrayLike<number>) =>
        Array.from(
          { length: array.length / c.headDim / c.keyHeads },
          () => random.below(2),
        );
      problem.padding = some(problem.key);
      problem.encoderPadding = some(problem.encoderKey);
      const nowhere = (array: ArrayLike<number>, padding: ArrayLike<number>) =>
        Float32Array.from(
          array,
          (x, n) =>
            padding[Math.floor(n * padding.length / array.length)] ? NaN : x,
        );
      problem.key = nowhere(problem.key, problem.padding);
      problem.value = nowhere(problem.value, problem.padding);
      problem.encoderKey = nowhere(problem.encoderKey, problem.encoderPadding);
      problem.encoderValue = nowhere(
        problem.encoderValue,
        problem.encoderPadding,
      );
    }
    const expected = prefixLinearAttention(problem);
    const features = prefixLinearProblem(problem, { layout });
    for (
      const { output } of [
        recurrentLinearAttention(features),
        chunkedLinearAttention(features, { chunk: 3, subChunk: 2 }),
      ]
    ) {
      const { valueHeadDim } = c;
      assertNear(
        normalizedOutput(output, { valueHeadDim, eps: EPS }),
        expected,
      );
    }
  },
);

property(
  "prefixLinearAttention() is prefill and then decode",
  [prompts, fc.integer({ min: 0, max: 5 })],
  ([c, prefix], more) => {
    const one = { ...c, sequences: [4 + more], layout: "ragged" } as const;
    const whole = problemOf(one, prefix);
    const { valueHeadDim } = c;
    const prompt = recurrentLinearAttention(prefixLinearProblem({
      ...whole,
      ...slice(whole, { first: 0, end: 4 }),
    }));
    const decoded = range(more).reduce(
      ({ output, state }, n) => {
        const problem = slice(linearProblemOf(one), {
          first: 4 + n,
          end: 5 + n,
          initialState: state,
        });
        const next = recurrentLinearAttention(
          taylorProblem(problem, { normalize: true }),
        );
        return { output: [...output, ...next.output], state: next.state };
      },
      { output: [...prompt.output], state: prompt.state },
    );
    assertNear(
      normalizedOutput(decoded.output, { valueHeadDim, eps: EPS }),
      prefixLinearAttention(whole),
    );
  },
);

property(
  "prefixLinearAttention() does not depend on the order of its prefix",
  [prompts],
  ([c, prefix]) => {
    const problem = problemOf({ ...c, sequences: [c.sequences[0]] }, prefix);
    const order = new Prng(c.seed).shuffle(range(prefix));
    const shuffled = {
      ...problem,
      encoderKey: reorder(problem.encoderKey, order, c.keyHeads * c.headDim),
      encoderValue: reorder(
        problem.encoderValue,
        order,
        c.valueHeads * c.valueHeadDim,
      ),
    };
    const [one, other] = [problem, shuffled].map((p) =>
      prefixLinearProblem(p).initialState!
    );
    assertNear(other, one);
    assertNear(prefixLinearAttention(shuffled), prefixLinearAttention(problem));
  },
);

Deno.test("prefixLinearAttention() takes an encoder longer than its sequence, if that is padding", () => {
  const problem = problemOf({ ...PLAIN_LINEAR, sequences: [2] }, 5);
  const output = prefixLinearAttention({
    ...problem,
    encoderPadding: [0, 0, 1, 1, 1],
  });
  const cut = (array: ArrayLike<number>) =>
    Array.from(array).slice(0, array.length * 2 / 5);
  const expected = prefixLinearAttention({
    ...problem,
    prefix: 2,
    encoderKey: cut(problem.encoderKey),
    encoderValue: cut(problem.encoderValue),
  });
  assertEquals(output, expected);
});

property(
  "prefixLinearAttention() without a prefix is BASED",
  [prompts],
  ([c]) => {
    const problem = problemOf(c, 0);
    assertEquals(
      prefixLinearAttention(problem),
      taylorAttention(linearProblemOf(c)),
    );
  },
);

property(
  "prefixLinearAttention() with all tokens in the prefix counts them in full and causally",
  [prompts],
  ([c]) => {
    const one: LinearCase = { ...c, sequences: [4] };
    const { key, value, ...rest } = problemOf(one, 4);
    const problem = {
      ...rest,
      key,
      value,
      encoderKey: key,
      encoderValue: value,
    };
    // The last token sees everything twice: it is as if nothing were.
    const output = prefixLinearAttention(problem);
    const plain = taylorAttention(linearProblemOf(one));
    const width = output.length / 4;
    assertNear(output.subarray(3 * width), plain.subarray(3 * width));
  },
);

property(
  "prefixLinearAttention() takes no account of padding, whatever lies there",
  [prompts, fc.integer({ min: 1, max: 3 })],
  ([c, prefix], padded) => {
    const tokens = c.sequences[0];
    const own = problemOf({ ...c, sequences: [tokens] }, prefix);
    const flags = (length: number) => [
      ...new Array(padded).fill(1),
      ...new Array(length).fill(0),
    ];
    const { headDim, queryHeads, keyHeads, valueHeads, valueHeadDim } = c;
    const pad = (array: ArrayLike<number>, width: number) => [
      ...new Array(padded * width).fill(9),
      ...Array.from(array),
    ];
    const output = prefixLinearAttention({
      ...own,
      batch: undefined,
      sequence: undefined,
      cuSeqlens: [0, tokens + padded],
      query: pad(own.query, queryHeads * headDim),
      key: pad(own.key, keyHeads * headDim),
      value: pad(own.value, valueHeads * valueHeadDim),
      prefix: prefix + padded,
      encoderKey: pad(own.encoderKey, keyHeads * headDim),
      encoderValue: pad(own.encoderValue, valueHeads * valueHeadDim),
      padding: flags(tokens),
      encoderPadding: flags(prefix),
    });
    const expected = prefixLinearAttention(own);
    assertEquals([...output.subarray(-expected.length)], [...expected]);
  },
);

Deno.test("prefixLinearAttention() says what is wrong with a prefix", () => {
  const problem = problemOf({ ...PLAIN_LINEAR, sequences: [4, 4] }, 3);
  const wrong: [Partial<PrefixLinearProblem>, typeof Error, string][] = [
    [
      {
        batch: 4,
        sequence: 2,
        encoderKey: range(192),
        encoderValue: range(192),
      },
      RangeError,
      "prefix must be at most the 2 tokens of sequence 0",
    ],
    [{ prefix: 2 }, TypeError, "encoderKey must have 64 elements"],
    [{ encoderValue: [1] }, TypeError, "encoderValue must have 96 elements"],
    [{ padding: [1] }, TypeError, "padding must have 8 elements"],
    [{ encoderPadding: [1] }, TypeError, "encoderPadding must have 6 elements"],
    [{ eps: 0 }, RangeError, "eps must be above 0"],
  ];
  for (const [change, kind, message] of wrong) {
    const call = () => prefixLinearAttention({ ...problem, ...change });
    assertThrows(call, kind, message);
  }
});

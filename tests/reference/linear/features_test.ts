import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  chunkedLinearAttention,
  normalizedOutput,
  quadraticLinearAttention,
  recurrentLinearAttention,
  taylorAttention,
  taylorFeatures,
  taylorProblem,
  taylorWeight,
} from "../../../reference/mod.ts";
import { dot } from "../../../reference/scores.ts";
import {
  type LinearCase,
  linearCases,
  linearProblemOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { range } from "../cases.ts";
import { assertNear, slice } from "./cases.ts";

const EPS = 1e-12;

const vectors = fc.integer({ min: 1, max: 8 }).chain((length) => {
  const element = fc.float({ min: -3, max: 3, noNaN: true });
  const vector = fc.array(element, { minLength: length, maxLength: length });
  return fc.tuple(vector, vector);
});

/** Cases that polynomial weights have a use for. */
const taylorCases = linearCases({
  rule: fc.constant("linear"),
  initialState: fc.constant(false),
  distribution: fc.constantFrom("unit", "normal", "equal"),
  headDim: fc.integer({ min: 1, max: 4 }),
});

Deno.test("taylorFeatures() has one feature for each pair, packed", () => {
  assertEquals([...taylorFeatures([2, 3], { scale: 1 })], [
    1,
    2,
    3,
    4 * Math.SQRT1_2,
    6,
    9 * Math.SQRT1_2,
  ]);
  const sizes = (length: number) =>
    (["full", "packed"] as const).map((layout) =>
      taylorFeatures(new Float64Array(length), { layout }).length
    );
  assertEquals(sizes(16), [273, 153]);
});

property(
  "taylorFeatures() multiply to the polynomial, packed or full",
  [vectors, fc.float({ min: 0.125, max: 2, noNaN: true })],
  ([q, k], scale) => {
    const expected = taylorWeight(scale * dot(q, 0, k, 0, q.length));
    for (const layout of ["full", "packed"] as const) {
      const a = taylorFeatures(q, { scale, layout });
      const b = taylorFeatures(k, { scale, layout });
      const actual = dot(a, 0, b, 0, a.length);
      assert(Math.abs(actual - expected) <= 1e-10 * (1 + expected));
    }
  },
);

property(
  "taylorWeight() is at least 1/2, and near the exponential",
  [fc.double({ min: -4, max: 4, noNaN: true })],
  (s) => {
    const size = Math.abs(s);
    const off = Math.abs(taylorWeight(s) - Math.exp(s));
    assert(taylorWeight(s) >= 0.5);
    assert(off <= Math.exp(size) * size ** 3 / 6 + 1e-15);
  },
);

property(
  "taylorAttention() is linear attention over features, in every form",
  [
    taylorCases,
    fc.constantFrom("full", "packed"),
    fc.integer({ min: 1, max: 9 }),
  ],
  (c, layout, chunk) => {
    const problem = linearProblemOf(c);
    const expected = taylorAttention({ ...problem, eps: EPS });
    const features = taylorProblem(problem, { layout, normalize: true });
    const { valueHeadDim } = c;
    for (
      const form of [
        recurrentLinearAttention,
        quadraticLinearAttention,
        (p: typeof features) => chunkedLinearAttention(p, { chunk }),
      ]
    ) {
      const { output } = form(features);
      assertNear(
        normalizedOutput(output, { valueHeadDim, eps: EPS }),
        expected,
      );
    }
  },
);

Deno.test("taylorAttention() is near softmax where scores are small", () => {
  const c: LinearCase = { ...PLAIN_LINEAR, sequences: [9], scale: 0.05 };
  const problem = linearProblemOf(c);
  const { output } = attention({
    ...problem,
    batch: 1,
    queryLength: 9,
    keyLength: 9,
    kvHeads: c.valueHeads,
    mask: (_b, _h, query, key) => key <= query,
  });
  assertNear(taylorAttention(problem), output, 1e-3);
});

property(
  "taylorProblem() has a state of D (e + 1) numbers for each head",
  [taylorCases],
  (c) => {
    const problem = taylorProblem(linearProblemOf(c), { normalize: true });
    const { state } = recurrentLinearAttention(problem);
    const f = c.headDim;
    const features = 1 + f + f * (f + 1) / 2;
    const floats = features * (c.valueHeadDim + 1);
    assertEquals(state.length, c.sequences.length * c.valueHeads * floats);
  },
);

property(
  "taylorProblem() decodes on from the state of its prompt",
  [taylorCases.filter(({ sequences }) => sequences[0] > 1)],
  (c) => {
    const tokens = c.sequences[0];
    const problem = linearProblemOf({
      ...c,
      sequences: [tokens],
      layout: "ragged",
    });
    const options = { normalize: true };
    const prompt = taylorProblem(
      slice(problem, { first: 0, end: tokens - 1 }),
      options,
    );
    const initialState = recurrentLinearAttention(prompt).state;
    const last = taylorProblem(
      slice(problem, { first: tokens - 1, end: tokens, initialState }),
      options,
    );
    const { valueHeadDim } = c;
    const { output } = recurrentLinearAttention(last);
    const expected = taylorAttention(problem);
    assertNear(
      normalizedOutput(output, { valueHeadDim, eps: EPS }),
      expected.subarray(expected.length - expected.length / tokens),
    );
  },
);

Deno.test("taylorProblem() gives no weight to tokens that do not count", () => {
  const problem = linearProblemOf({ ...PLAIN_LINEAR, sequences: [4] });
  const { output } = recurrentLinearAttention(
    taylorProblem(problem, { normalize: true, counts: (token) => token > 1 }),
  );
  const sums = range(4).map((token) => output[token * 2 * 17 + 16]);
  assertEquals(sums.slice(0, 2), [0, 0]);
  assert(sums[2] > 0 && sums[3] > sums[2]);
});

Deno.test("normalizedOutput() and taylorFeatures() say what is wrong", () => {
  for (const eps of [0, -1, NaN]) {
    assertThrows(
      () => normalizedOutput([1, 1], { valueHeadDim: 1, eps }),
      RangeError,
      "eps must be above 0",
    );
    const problem = linearProblemOf(PLAIN_LINEAR);
    const wrong = () => taylorAttention({ ...problem, eps });
    assertThrows(wrong, RangeError, "eps must be above 0");
  }
  const wrong = () => taylorFeatures([1], { scale: -1 });
  assertThrows(wrong, RangeError, "scale must be above 0");
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  linearBackwardCost,
  linearCost,
  type LinearSizes,
  linearStateCost,
  recurrentCost,
} from "../../../src/planning/mod.ts";
import { property } from "../../support/property.ts";
import { assertCost } from "../schedule_cases.ts";
import { countedChunks } from "./chunk_run.ts";
import { countedRecurrent } from "./recurrent_run.ts";

const heads = fc.constantFrom(
  { queryHeads: 1, keyHeads: 1, valueHeads: 1 },
  { queryHeads: 4, keyHeads: 1, valueHeads: 2 },
  { queryHeads: 1, keyHeads: 2, valueHeads: 2 },
);

/** Gates as powers of two and few tokens, so that float32 is exact. */
const gated: fc.Arbitrary<LinearSizes> = fc.record({
  heads,
  tokens: fc.nat(11),
  headDim: fc.integer({ min: 1, max: 4 }),
  valueHeadDim: fc.integer({ min: 1, max: 3 }),
  gates: fc.constantFrom("head" as const, "channel" as const, undefined),
  delta: fc.boolean(),
  initialState: fc.boolean(),
  returnState: fc.boolean(),
}).map(({ heads, gates, ...sizes }) => ({
  ...heads,
  ...sizes,
  ...(gates && { gates }),
}));

const features: fc.Arbitrary<LinearSizes> = fc.record({
  heads,
  tokens: fc.nat(11),
  headDim: fc.integer({ min: 1, max: 4 }),
  valueHeadDim: fc.integer({ min: 1, max: 3 }),
  featureMap: fc.constant("taylor" as const),
  normalize: fc.boolean(),
  initialState: fc.boolean(),
  returnState: fc.boolean(),
}).map(({ heads, ...sizes }) => ({ ...heads, ...sizes }));

const chunks = fc.record({
  chunk: fc.integer({ min: 1, max: 8 }),
  subChunk: fc.integer({ min: 1, max: 5 }),
});

property(
  "recurrentCost() and linearCost() are what runs move, element by element",
  [gated, chunks, fc.nat()],
  (sizes, cut, seed) => {
    const recurrent = countedRecurrent(sizes, seed);
    const chunked = countedChunks(sizes, cut, seed);
    assertCost(recurrent, recurrentCost(sizes));
    assertCost(chunked, linearCost(sizes, cut));
    assertEquals(chunked.outputs, recurrent.outputs);
    assertEquals(chunked.states, recurrent.states);
  },
  { runs: 60 },
);

property(
  "recurrentCost() and linearCost() of a feature map and its normaliser",
  [features, chunks, fc.nat()],
  (sizes, cut, seed) => {
    const recurrent = countedRecurrent(sizes, seed);
    const chunked = countedChunks(sizes, cut, seed);
    assertCost(recurrent, recurrentCost(sizes));
    assertCost(chunked, linearCost(sizes, cut));
  },
  { runs: 30 },
);

Deno.test("linearBackwardCost() counts the products of backward", () => {
  const [n, d, e] = [64, 32, 16];
  const sizes = { tokens: n, headDim: d, valueHeadDim: e };
  const chunk = { chunk: n };
  const pairs = n * (n + 1) / 2;
  const state = 2 * n * d * e;
  // K^T V, Q^T dO; dO h, V D, K D; and A, dO V^T, dQ, dK, dV within the chunk.
  const products = 5 * state + 2 * pairs * (3 * d + 2 * e);
  assertEquals(linearBackwardCost(sizes, chunk).flops.matmul, products);
  const gates = linearBackwardCost({ ...sizes, gates: "channel" }, chunk);
  assertEquals(gates.flops.matmul, products + 4 * n * d + 2 * d * e);
  assertEquals(gates.traffic.decayGradient, { reads: 0, writes: n * d });
});

Deno.test("linear costs are linear in the length, forward and backward", () => {
  for (const gates of [undefined, "head", "channel"] as const) {
    const cost = (tokens: number) => {
      const sizes = { tokens, headDim: 8, ...(gates && { gates }) };
      const cut = { chunk: 16, subChunk: 4 };
      return [
        linearCost(sizes, cut).flops,
        linearBackwardCost(sizes, cut).flops,
        recurrentCost(sizes).flops,
      ].map(({ matmul, exp, rescale }) => [matmul, exp, rescale]);
    };
    const [one, eight] = [cost(16), cost(128)];
    assertEquals(eight, one.map((kinds) => kinds.map((x) => 8 * x)));
  }
});

property(
  "linearStateCost() and what reads states are linearCost()",
  [gated.filter(({ delta }) => !delta), chunks],
  (sizes, cut) => {
    const state = linearStateCost(sizes, cut);
    const all = linearCost(sizes, cut);
    const { traffic } = all;
    for (const name of ["state", "decay"] as const) {
      assertEquals(state.traffic[name], traffic[name]);
    }
    // Keys and values are read once more for scores and outputs.
    for (const name of ["key", "value"] as const) {
      const reads = (of: typeof state) => of.traffic[name]?.reads ?? 0;
      assertEquals(2 * reads(state), reads(all));
    }
    assertEquals(state.traffic.output, undefined);
    assertEquals(state.traffic.states?.writes, traffic.states?.writes);
    const { tokens, headDim, valueHeadDim, valueHeads } = sizes;
    assertEquals(
      state.flops.matmul,
      2 * tokens * headDim * valueHeadDim! * valueHeads!,
    );
  },
  { runs: 40 },
);

Deno.test("a chunk is dearer in scores, and cheaper in states that are moved", () => {
  const sizes = { tokens: 1024, headDim: 64 };
  const [small, large] = [16, 128].map((chunk) => linearCost(sizes, { chunk }));
  assert(large.flops.matmul > small.flops.matmul);
  assert(large.traffic.states!.reads < small.traffic.states!.reads);
});

Deno.test("linear costs refuse what they do not take", () => {
  const sizes = { tokens: 8, headDim: 4 };
  const bad: readonly [() => void, typeof TypeError, string][] = [
    [
      () => linearCost({ ...sizes, heads: 2 } as LinearSizes, { chunk: 4 }),
      TypeError,
      "write queryHeads",
    ],
    [
      () => linearCost({ ...sizes, gates: "vector" as "head" }, { chunk: 4 }),
      TypeError,
      'sizes.gates must be "head" or "channel"',
    ],
    [
      () =>
        recurrentCost({ ...sizes, queryHeads: 3, keyHeads: 1, valueHeads: 2 }),
      RangeError,
      "sizes.queryHeads must be a multiple or a divisor of valueHeads (2)",
    ],
    [
      () => recurrentCost({ ...sizes, keyHeads: 2, valueHeads: 3 }),
      RangeError,
      "sizes.valueHeads must be a multiple of keyHeads (2)",
    ],
    [
      () => recurrentCost({ ...sizes, gates: "head", featureMap: "taylor" }),
      TypeError,
      "sizes.featureMap must not be given with gates or delta",
    ],
    [
      () => linearCost(sizes, { chunk: 0 }),
      RangeError,
      "chunks.chunk must be an integer >= 1: current value is 0",
    ],
    [
      () => linearStateCost({ ...sizes, delta: true }, { chunk: 4 }),
      RangeError,
      "sizes.delta must not be given",
    ],
    [
      () => linearBackwardCost({ ...sizes, delta: true }, { chunk: 4 }),
      RangeError,
      "sizes must have no delta rule",
    ],
  ];
  for (const [call, kind, text] of bad) assertThrows(call, kind, text);
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  featureDim,
  type FeatureMap,
  kvBytes,
  linearStateBytes,
  recurrentCost,
  stateCrossover,
} from "../../../src/planning/mod.ts";
import { property } from "../../support/property.ts";

Deno.test("featureDim() is BASED's, each product of two elements once", () => {
  assertEquals(featureDim(16, "taylor"), 153);
  assertEquals(featureDim(1, "taylor"), 3);
  assertEquals(featureDim(16), 16);
  assertThrows(() => featureDim(0), RangeError, "headDim");
  assertThrows(
    () => featureDim(4, "exp" as FeatureMap),
    TypeError,
    'featureMap must be "identity" or "taylor": current value is "exp"',
  );
});

Deno.test("stateCrossover() is BASED's 139 tokens, with heads of 64", () => {
  const state = { headDim: 16, valueHeadDim: 64, normalize: true };
  assertEquals(
    stateCrossover({ ...state, features: 273 }, { headDim: 64 }),
    139,
  );
  assertEquals(
    stateCrossover({ ...state, featureMap: "taylor" }, { headDim: 64 }),
    78,
  );
});

property(
  "stateCrossover() is where keys and values pass the state",
  [
    fc.record({
      valueHeads: fc.integer({ min: 1, max: 8 }),
      headDim: fc.integer({ min: 1, max: 20 }),
      valueHeadDim: fc.integer({ min: 1, max: 20 }),
      normalize: fc.boolean(),
    }),
    fc.record({
      kvHeads: fc.integer({ min: 1, max: 8 }),
      headDim: fc.integer({ min: 1, max: 20 }),
      dtype: fc.constantFrom("f32" as const, "f16" as const),
    }),
  ],
  (state, kv) => {
    const at = stateCrossover(state, kv);
    const bytes = linearStateBytes(state);
    assert(kvBytes(at, kv) > bytes && kvBytes(at - 1, kv) <= bytes);
  },
);

property(
  "linearStateBytes() is what a recurrent step reads and writes of it",
  [
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 1, max: 20 }),
    fc.option(fc.constant("taylor" as const), { nil: undefined }),
    fc.boolean(),
  ],
  (valueHeads, headDim, featureMap, normalize) => {
    const sizes = {
      headDim,
      normalize,
      valueHeads,
      ...(featureMap && { featureMap }),
    };
    const { traffic } = recurrentCost({
      ...sizes,
      queryHeads: valueHeads,
      tokens: 1,
      initialState: true,
      returnState: true,
    });
    const bytes = linearStateBytes(sizes);
    assertEquals(traffic.state, { reads: bytes / 4, writes: bytes / 4 });
  },
);

Deno.test("state sizes refuse what they do not take", () => {
  assertThrows(
    () => linearStateBytes({ headDim: 0 }),
    RangeError,
    "sizes.headDim must be an integer >= 1: current value is 0",
  );
  assertThrows(
    () => kvBytes(-1, { headDim: 4 }),
    RangeError,
    "tokens must be an integer >= 0: current value is -1",
  );
  assertThrows(
    () => kvBytes(1, { headDim: 4, heads: 2 } as { headDim: number }),
    TypeError,
    "write kvHeads",
  );
});

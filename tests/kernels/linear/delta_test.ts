import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  LINEAR_GATES,
  linearErrorBound,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { UnsupportedError } from "../../../src/core/errors.ts";
import { linearParts } from "../../../src/ops/linear_attention/parts.ts";
import { linearAttention, linearProblem } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  LINEAR_HEADS,
  type LinearCase,
  linearProblemOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { linearOptionsOf } from "../../support/linear_runner.ts";

const SHAPES = [
  { headDim: 16, valueHeadDim: 16, gates: "mild" },
  { headDim: 33, valueHeadDim: 20, gates: "strong" },
  // As many rows as the scan has room for.
  { headDim: 256, valueHeadDim: 5, gates: "extreme" },
  { headDim: 7, valueHeadDim: 64, gates: "mixed" },
  { headDim: 72, valueHeadDim: 33, gates: "mild" },
] as const;

/** Each kind of gate and strength, with other heads, dims and chunks each. */
const CASES = [
  undefined,
  "head",
  "channel",
  "constant_head",
  "constant_channel",
].map((decay, d) => ({
  ...PLAIN_LINEAR,
  ...LINEAR_HEADS[(d + 1) % LINEAR_HEADS.length],
  ...SHAPES[d],
  seed: d,
  layout: "ragged",
  sequences: [5, 0, 70, 1, 130],
  initialState: true,
  decay,
  beta: d % 2 === 0 ? "head" : "one",
} as LinearCase));

/**
 * More query heads than states, and fewer key heads, where what keys have in
 * common counts: strong gates leave nothing of it.
 */
const SHARED_KEYS: LinearCase = {
  ...CASES[0],
  ...LINEAR_HEADS[3],
  seed: 5,
  gates: "mild",
};

gpuTest("the delta rules by chunks are their recurrence", async (_, gpu) => {
  for (const [i, c] of [...CASES, SHARED_KEYS].entries()) {
    const chunk = [64, 32, 16, 48, 128, 64][i];
    const { output, state } = await linearAttention(gpu, {
      ...linearOptionsOf(c),
      returnState: true,
      form: "chunked",
      chunk,
      subChunk: 16,
    });
    const problem = linearProblemOf(c);
    const bound = linearErrorBound(problem, { chunk, gate: LINEAR_GATES.wgsl });
    const want = recurrentLinearAttention(problem);
    const near = (got: number, x: number, most: number) =>
      assert(
        Math.abs(got - x) <= most,
        `${got} is not ${x}: ${JSON.stringify(c)}`,
      );
    want.output.forEach((x, n) => near(output.data[n], x, bound.output));
    want.state.forEach((x, n) => near(state!.data[n], x, bound.state));
  }
});

gpuTest("a delta rule of strength 0 keeps the state", async (_, gpu) => {
  const c: LinearCase = {
    ...PLAIN_LINEAR,
    sequences: [40],
    beta: "head",
    initialState: true,
  };
  const options = linearOptionsOf(c);
  options.beta!.data.fill(0);
  const { state } = await linearAttention(gpu, {
    ...options,
    returnState: true,
    form: "chunked",
  });
  assertEquals(state!.data, options.initialState!.data);
});

gpuTest(
  "a delta rule of strength 1 recalls what it wrote last",
  async (_, gpu) => {
    // Keys by turns are the unit vectors: each write replaces the one before.
    const [tokens, dim] = [40, 8];
    const key = new Float32Array(tokens * dim);
    for (let t = 0; t < tokens; t++) key[t * dim + t % dim] = 1;
    const value = Float32Array.from(
      { length: tokens * 4 },
      (_, n) => n % 37 - 18,
    );
    const rows = { data: key, shape: [1, tokens, 1, dim] };
    const { output, state } = await linearAttention(gpu, {
      query: rows,
      key: rows,
      value: { data: value, shape: [1, tokens, 1, 4] },
      beta: { data: new Float32Array(tokens).fill(1), shape: [1, tokens, 1] },
      scale: 1,
      returnState: true,
      form: "chunked",
      chunk: 16,
    });
    assertEquals(output.data, value);
    assertEquals(state!.data, value.slice(-4 * dim));
  },
);

Deno.test("the delta rules' scan that binds too much is refused", () => {
  const rows = { dtype: "f32", shape: [1, 1024, 2, 64] } as const;
  const gates = { dtype: "f32", shape: [1, 1024, 2] } as const;
  const options = {
    query: rows,
    key: rows,
    value: rows,
    decay: gates,
    beta: gates,
  };
  const device = {
    software: true,
    limits: {
      maxComputeWorkgroupsPerDimension: 65535,
      // Room for two chunks at a time.
      maxStorageBufferBindingSize: 65536,
      maxStorageBuffersPerShaderStage: 8,
    },
  };
  const shape = [1, 2, 64, 64];
  const given = linearProblem({
    ...options,
    initialState: { dtype: "f32", shape },
    returnState: true,
  });
  assertThrows(
    () => linearParts(given, device),
    UnsupportedError,
    "binds 9 buffers",
  );
  const pooled = linearProblem({
    ...options,
    states: { dtype: "f32", shape },
    stateIndices: [0],
  });
  assert(linearParts(pooled, device).explanation.segments > 1);
});

Deno.test("long sequences are scanned in blocks, but for the delta rules", () => {
  // A chunk's state is a sum that blocks could have, unless it erases.
  const tokens = 16 * 129;
  const rows = { dtype: "f32", shape: [1, tokens, 1, 8] } as const;
  const device = {
    software: true,
    limits: {
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBufferBindingSize: 2 ** 27,
      maxStorageBuffersPerShaderStage: 8,
    },
  };
  const scanOf = (rule: object) =>
    linearParts(
      linearProblem({
        query: rows,
        key: rows,
        value: rows,
        form: "chunked",
        chunk: 16,
        ...rule,
      }),
      device,
    ).explanation.scan;
  assertEquals(scanOf({}), "blocks");
  const beta = { dtype: "f32", shape: [1, tokens, 1] } as const;
  assertEquals(scanOf({ beta }), "sequential");
});

/**
 * A layer of Gated Linear Attention against float64, by the error rule, and the
 * family that it has as special cases.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  glaLayer as oracle,
  project,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { EXACT } from "../../../reference/layers/rounding.ts";
import { roundTo } from "../../../reference/naive.ts";
import type { HostTensor } from "../../../src/gpu/mod.ts";
import {
  glaLayer,
  GlaLayerPlan,
  type GlaPlanOptions,
  glaWeightShapes,
} from "../../../src/model/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkResult } from "../../support/layer_runner.ts";
import { type GlaCase, glaCase, problemOf, SMALL } from "./cases.ts";

/** Small chunks, so that there are several. */
const CHUNKS = { chunk: 16, subChunk: 4 } as const;

function optionsOf(
  { config, input, weights, initialState, cuSeqlens }: GlaCase,
) {
  return {
    ...config,
    ...CHUNKS,
    input,
    weights,
    initialState,
    returnState: true,
    ...(cuSeqlens && { cuSeqlens }),
  };
}

gpuTest("glaLayer() is float64's", async (_, gpu) => {
  for (
    const own of [
      glaCase([37, 37]),
      glaCase([1, 0, 20, 5], { ragged: true, seed: 2 }),
    ]
  ) {
    const { output, state } = await glaLayer(gpu, optionsOf(own));
    const result = { output: output.data, state: state!.data };
    checkResult("glaLayer", result, (round) => ({
      ...oracle({ ...problemOf(own), round }),
    }));
  }
});

gpuTest("glaLayer() of halves", async (_, gpu) => {
  const own = glaCase([19, 19], { dtype: "f16" });
  const { output } = await glaLayer(gpu, optionsOf(own));
  // The naive version has all of its arithmetic in halves.
  checkResult("glaLayer", { output: output.data }, (round) => ({
    ...oracle({
      ...problemOf(own),
      round: round === EXACT ? round : (x) => roundTo("f16", round(x)),
    }),
  }));
}, { features: ["shader-f16"] });

/** A layer whose gates depend on the head alone. */
function constantGates(biases: readonly number[]): GlaCase {
  const own = glaCase([40], { seed: 3 });
  const { gateUp, gateBias } = own.weights;
  const dim = gateBias.data.length / biases.length;
  return {
    ...own,
    weights: {
      ...own.weights,
      gateUp: { ...gateUp, data: gateUp.data.map(() => 0) },
      gateBias: {
        ...gateBias,
        data: gateBias.data.map((_, i) => biases[Math.floor(i / dim)]),
      },
    } as GlaCase["weights"],
  };
}

/** What linear attention with such gates makes of a layer's projections. */
function statesOf(own: GlaCase, decay: readonly number[] | undefined) {
  const { hidden, heads, headDim, valueHeadDim, weights, input } = problemOf(
    own,
  );
  const rows = (name: "query" | "key" | "value", dim: number) =>
    project({
      input,
      weight: weights[name],
      inFeatures: hidden,
      outFeatures: heads * dim,
    });
  return recurrentLinearAttention({
    query: rows("query", headDim),
    key: rows("key", headDim),
    value: rows("value", valueHeadDim),
    ...(decay && { decay, decayShape: "constant_head" }),
    initialState: own.initialState.data,
    batch: 1,
    sequence: 40,
    queryHeads: heads,
    keyHeads: heads,
    valueHeads: heads,
    headDim,
    valueHeadDim,
  }).state;
}

gpuTest(
  "glaLayer() with open gates is linear attention, with constant ones retention",
  async (_, gpu) => {
    const softplus = (x: number) => Math.log1p(Math.exp(x));
    const cases: [biases: number[], decay: number[] | undefined][] = [
      [[200, 200], undefined],
      [[1, -2], [-softplus(-1) / 4, -softplus(2) / 4]],
    ];
    for (const [biases, decay] of cases) {
      const own = constantGates(biases);
      const { state } = await glaLayer(gpu, optionsOf(own));
      const expected = statesOf(own, decay);
      const scale = expected.reduce(
        (most, x) => Math.max(most, Math.abs(x)),
        0,
      );
      state!.data.forEach((x, i) =>
        // A chain of 40 additions and of a product of 16 elements.
        assert(Math.abs(x - expected[i]) <= 40 * 16 * 2 ** -24 * scale)
      );
    }
  },
);

gpuTest("a layer decodes what it prefills, states in place", async (_, gpu) => {
  const own = glaCase([9, 9], { seed: 5 });
  const { config, input, weights, initialState } = own;
  const whole = await glaLayer(gpu, optionsOf(own));
  const token = { dtype: "f32", shape: [2, 1, 16] } as const;
  using plan = await GlaLayerPlan.create(gpu, {
    ...config,
    input: token,
    states: { dtype: "f32", shape: initialState.shape },
    stateIndices: [0, 1],
  });
  using states = gpu.tensor(initialState.data, initialState.shape);
  const uploaded = Object.entries<HostTensor>({ ...weights }).map(
    ([name, { data, shape }]) => [name, gpu.tensor(data, shape)] as const,
  );
  const onDevice = Object.fromEntries(uploaded) as unknown as Parameters<
    typeof plan.encode
  >[1]["weights"];
  const outputs = Array.from({ length: 9 }, (_, t) => {
    const at = (b: number) => (b * 9 + t) * 16;
    const rows = [0, 1].flatMap((b) => [
      ...input.data.subarray(at(b), at(b) + 16),
    ]);
    const row = gpu.tensor(Float32Array.from(rows), token.shape);
    const output = gpu.empty("f32", token.shape);
    gpu.submit(
      "step",
      (encoder) =>
        plan.encode(encoder, { input: row, weights: onDevice, output, states }),
    );
    row.destroy();
    return output;
  });
  const found = await gpu.read([...outputs, states]);
  const result = new Float32Array(whole.output.data.length);
  found.slice(0, 9).forEach((rows, t) => {
    for (const b of [0, 1]) {
      result.set(
        rows.slice(b * 16, b * 16 + 16) as Float32Array,
        (b * 9 + t) * 16,
      );
    }
  });
  checkResult("decode", { output: result, state: found[9] }, (round) => ({
    ...oracle({ ...problemOf(own), round }),
  }));
  for (const tensor of outputs) tensor.destroy();
  for (const [, tensor] of uploaded) tensor.destroy();
});

gpuTest(
  "layers of gated linear attention that cannot be are refused",
  async (_, gpu) => {
    const input = { dtype: "f32", shape: [1, 3, 16] } as const;
    const good: GlaPlanOptions = { ...SMALL, input };
    const wrong: [object, ErrorConstructor, string][] = [
      [{ heads: 3 }, RangeError, "expandKey must make a head dim"],
      [{ expandValue: 0 }, RangeError, "expandValue must make a head dim"],
      [{ gateRank: 0 }, RangeError, "gateRank must be an integer in 1.."],
      [{ normalizer: -1 }, RangeError, "normalizer must be > 0"],
      [{ eps: 0 }, RangeError, "eps must be > 0"],
      [{ numHeads: 2 }, TypeError, "write heads"],
      [{ weightType: "bf16" }, TypeError, "weightType must be"],
      [
        { input: { ...input, shape: [3, 16] } },
        TypeError,
        "give cuSeqlens with",
      ],
      [
        { input: { ...input, shape: [1, 3, 8] } },
        TypeError,
        "input.shape must be",
      ],
      [{ cuSeqlens: [0, 3] }, TypeError, "must be [tokens, 16], as there are"],
      [{ chunk: 3 }, RangeError, "chunk"],
      [
        { initialState: { dtype: "f32", shape: [1, 2, 4, 9] } },
        TypeError,
        "initialState.shape must be [1, 2, 4, 8]",
      ],
    ];
    const before = gpu.stats.buffers;
    for (const [change, kind, message] of wrong) {
      const error = await assertRejects(
        () => GlaLayerPlan.create(gpu, { ...good, ...change }),
        kind,
      );
      assert(error.message.includes(message), error.message);
    }
    const { weights: host, input: tokens } = glaCase([3]);
    const { key } = host;
    const turned = { ...key, shape: [...key.shape].reverse() };
    await assertRejects(
      () =>
        glaLayer(gpu, {
          ...SMALL,
          input: tokens,
          weights: { ...host, key: turned },
        }),
      TypeError,
      "weights.key.shape must be [8, 16]",
    );
    gpu.trim();
    assertEquals(gpu.stats.buffers, before);
    using plan = await GlaLayerPlan.create(gpu, good);
    const owned = Object.entries(glaWeightShapes(SMALL)).map(([name, shape]) =>
      [name, gpu.empty("f32", shape)] as const
    );
    const weights = Object.fromEntries(owned) as unknown as Parameters<
      typeof plan.encode
    >[1]["weights"];
    using rows = gpu.empty("f32", input.shape);
    using output = gpu.empty("f32", input.shape);
    using state = gpu.empty("f32", [1, 2, 4, 8]);
    const encoder = gpu.device.createCommandEncoder();
    const encode = (change: object) => () =>
      plan.encode(encoder, { input: rows, weights, output, ...change });
    assertThrows(
      encode({ output: rows }),
      TypeError,
      "output must not share a",
    );
    assertThrows(encode({ state }), TypeError, "state must not be given");
    assertThrows(
      encode({ weights: { ...weights, norm: state } }),
      TypeError,
      "weights.norm must have 8 elements",
    );
    assertThrows(
      encode({ weights: { ...weights, query: undefined } }),
      TypeError,
      "weights.query must be given",
    );
    assertThrows(
      encode({ input: state }),
      TypeError,
      "input must have 48 elem",
    );
    assertThrows(
      encode({ activations: {} }),
      TypeError,
      "activations must be what activations() of a plan made",
    );
    encode({})();
    // No part has two of these, and all the same one is written over.
    using four = await GlaLayerPlan.create(gpu, {
      ...SMALL,
      input: { dtype: "f32", shape: [1, 4, 16] },
      returnState: true,
    });
    using own = four.activations();
    const [from, to, last] = [1, 2, 3].map(() => gpu.empty("f32", [1, 4, 16]));
    const share = (change: object) => () =>
      four.encode(encoder, {
        input: from,
        weights,
        output: to,
        state: last,
        activations: own,
        ...change,
      });
    assertThrows(
      share({ state: from }),
      TypeError,
      "state must not share a buffer with input",
    );
    assertThrows(
      share({ state: to }),
      TypeError,
      "state must not share a buffer with output",
    );
    assertThrows(
      share({ output: own.tensors.gated }),
      TypeError,
      "output must not share a buffer with activations.gated",
    );
    share({})();
    for (const tensor of [from, to, last]) tensor.destroy();
    plan.destroy();
    assertThrows(encode({}), TypeError, "plan must not be destroyed");
    for (const [, tensor] of owned) tensor.destroy();
  },
);

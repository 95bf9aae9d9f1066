/**
 * The gradients of a layer of Gated Linear Attention against float64, by the
 * error rule.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { glaLayerBackward as oracle } from "../../../reference/mod.ts";
import type { HostTensor } from "../../../src/gpu/mod.ts";
import {
  glaLayerBackward,
  GlaLayerBackwardPlan,
  GlaLayerPlan,
  type GlaWeights,
} from "../../../src/model/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkResult, type LayerResult } from "../../support/layer_runner.ts";
import { type GlaCase, glaCase, problemOf } from "./cases.ts";

function optionsOf(
  { config, input, weights, initialState, cuSeqlens }: GlaCase,
) {
  const chunks = { chunk: 16, subChunk: 4 } as const;
  const layer = { input, weights, initialState };
  return { ...config, ...chunks, ...layer, ...(cuSeqlens && { cuSeqlens }) };
}

/** All gradients by one name each. */
function named(
  gradients: {
    readonly inputGradient: HostTensor;
    readonly weightGradients: GlaWeights<HostTensor>;
    readonly initialStateGradient?: HostTensor;
  },
): LayerResult {
  const { inputGradient, weightGradients, initialStateGradient } = gradients;
  return Object.fromEntries([
    ["input", inputGradient.data],
    ["initialState", initialStateGradient!.data],
    ...Object.entries<HostTensor>({ ...weightGradients }).map(
      ([name, { data }]) => [`weights.${name}`, data],
    ),
  ]);
}

gpuTest("glaLayerBackward() is float64's", async (_, gpu) => {
  for (
    const own of [
      glaCase([21, 21]),
      glaCase([1, 0, 18, 5], { ragged: true, seed: 2 }),
    ]
  ) {
    const { outputGradient, stateGradient } = own;
    const gradients = await glaLayerBackward(gpu, optionsOf(own), {
      outputGradient,
      stateGradient,
    });
    checkResult("glaLayerBackward", named(gradients), (round) => {
      const expected = oracle({
        ...problemOf(own),
        outputGradient: outputGradient.data,
        stateGradient: stateGradient.data,
        round,
      });
      return Object.fromEntries([
        ["input", expected.inputGradient],
        ["initialState", expected.initialStateGradient],
        ...Object.entries<ArrayLike<number>>({ ...expected.weightGradients })
          .map(([name, data]) => [`weights.${name}`, data]),
      ]);
    });
  }
});

gpuTest(
  "gradients of a layer add up over several batches, and repeat",
  async (_, gpu) => {
    const own = glaCase([9, 9], { seed: 4 });
    const { config, input, weights, outputGradient } = own;
    const once = await glaLayerBackward(gpu, { ...config, input, weights }, {
      outputGradient,
    });
    const of = { dtype: "f32", shape: input.shape } as const;
    using forward = await GlaLayerPlan.create(gpu, { ...config, input: of });
    using backward = await GlaLayerBackwardPlan.create(gpu, {
      ...config,
      input: of,
      accumulate: ["input", "weights"],
    });
    const names = Object.keys(weights) as (keyof GlaWeights<unknown>)[];
    const tensors = <T>(make: (name: typeof names[number]) => T) =>
      Object.fromEntries(
        names.map((name) => [name, make(name)]),
      ) as unknown as GlaWeights<T>;
    const layer = {
      input: gpu.tensor(input.data, input.shape),
      weights: tensors((name) =>
        gpu.tensor(weights[name].data, weights[name].shape)
      ),
      activations: forward.activations(),
    };
    const gradients = {
      outputGradient: gpu.tensor(outputGradient.data, input.shape),
      inputGradient: gpu.empty("f32", input.shape),
      weightGradients: tensors((name) => gpu.empty("f32", weights[name].shape)),
    };
    const output = gpu.empty("f32", input.shape);
    const step = () =>
      gpu.submit("step", (encoder) => {
        forward.encode(encoder, { ...layer, output });
        backward.encode(encoder, { ...layer, ...gradients });
      });
    step();
    const list = () => [
      gradients.inputGradient,
      ...names.map((name) => gradients.weightGradients[name]),
    ];
    // To zeros, so that what is there is what one batch gives, bit by bit.
    const first = await gpu.read(list());
    names.forEach((name, i) =>
      assertEquals(first[i + 1], once.weightGradients[name].data, name)
    );
    step();
    const second = await gpu.read(list());
    names.forEach((name, i) =>
      assertEquals(
        second[i + 1],
        (first[i + 1] as Float32Array).map((x) => Math.fround(2 * x)),
        name,
      )
    );
    // Five projections add to the input's in turn.
    const largest = (first[0] as Float32Array).reduce(
      (most, x) => Math.max(most, Math.abs(x)),
      0,
    );
    second[0].forEach((x, i) =>
      assert(Math.abs(x - 2 * first[0][i]) <= 5 * 2 ** -22 * largest)
    );
    const encoder = gpu.device.createCommandEncoder();
    const encode = (change: object) => () =>
      backward.encode(encoder, { ...layer, ...gradients, ...change });
    const { inputGradient, weightGradients } = gradients;
    assertThrows(
      encode({ inputGradient: layer.input }),
      TypeError,
      "inputGradient must not share a buffer with input",
    );
    assertThrows(
      encode({ weightGradients: { ...weightGradients, key: inputGradient } }),
      TypeError,
      "weightGradients.key must have 128 elements",
    );
    assertThrows(
      encode({
        weightGradients: { ...weightGradients, key: weightGradients.query },
      }),
      TypeError,
      "weightGradients.key must not share a buffer with weightGradients.query",
    );
    assertThrows(
      encode({ stateGradient: inputGradient }),
      TypeError,
      "stateGradient must not be given",
    );
    assertThrows(
      encode({ activations: {} }),
      TypeError,
      "activations must be what activations()",
    );
    for (const tensor of [...list(), output, gradients.outputGradient]) {
      tensor.destroy();
    }
    layer.input.destroy();
    layer.activations.destroy();
    for (const name of names) layer.weights[name].destroy();
  },
);

gpuTest("gradients of a layer that cannot be are refused", async (_, gpu) => {
  const own = glaCase([3]);
  const { config, input, weights, outputGradient } = own;
  const layer = { ...config, input, weights };
  const of = {
    ...config,
    input: { dtype: "f32", shape: input.shape },
  } as const;
  const plan = (change: object) => () =>
    GlaLayerBackwardPlan.create(gpu, { ...of, ...change });
  await assertRejects(plan({ accumulate: ["norm"] }), TypeError, "accumulate");
  await assertRejects(plan({ returnState: true }), TypeError, "returnState");
  await assertRejects(plan({ stateGradient: 1 }), TypeError, "stateGradient");
  await assertRejects(plan({ hiddenSize: 1 }), TypeError, "write hidden");
  await assertRejects(
    () => glaLayerBackward(gpu, layer, { outputGradient: weights.norm }),
    TypeError,
    "outputGradient.shape must be [1, 3, 16]",
  );
  await assertRejects(
    () =>
      glaLayerBackward(gpu, layer, {
        outputGradient,
        stateGradient: outputGradient,
      }),
    TypeError,
    "stateGradient.shape must be [1, 2, 4, 8]",
  );
});

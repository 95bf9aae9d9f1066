/**
 * What all ops of layers have in common: plans, sums over uses, bits, refusals.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import {
  type LayerOptions,
  planLayer,
  rmsNorm,
  rmsNormBackward,
  swishGate,
} from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import {
  type HostValue,
  type LayerCase,
  runLayers,
  stored,
} from "../../support/layer_runner.ts";

const random = new Prng(11);

function values(...shape: number[]): HostValue {
  return stored(shape, { dtype: "f32", random });
}

/** One case of every backward op that adds gradients up. */
const ADDING: readonly LayerCase[] = [
  {
    op: "rmsNormBackward",
    options: { input: values(70, 6), weight: values(6) },
    tensors: { outputGradient: values(70, 6) },
  },
  {
    op: "l2NormalizeBackward",
    options: { input: values(5, 7) },
    tensors: { outputGradient: values(5, 7) },
  },
  {
    op: "swishGateBackward",
    options: { input: values(9), gate: values(9) },
    tensors: { outputGradient: values(9) },
  },
  {
    op: "sigmoidBackward",
    options: { input: values(9) },
    tensors: { outputGradient: values(9) },
  },
  {
    op: "logGateBackward",
    options: { input: values(9) },
    tensors: { outputGradient: values(9) },
  },
  {
    op: "shortConvolutionBackward",
    options: {
      input: values(2, 40, 5),
      weight: values(5, 3),
      bias: values(5),
      initialState: values(2, 2, 5),
    },
    tensors: { outputGradient: values(2, 40, 5) },
  },
  {
    op: "projectBackward",
    options: { input: values(9, 3), weight: values(5, 3), bias: true },
    tensors: { outputGradient: values(9, 5) },
  },
];

gpuTest(
  "accumulate adds those gradients to what is there, and no others",
  async (_, gpu) => {
    const plain = await runLayers(gpu, ADDING);
    for (const even of [true, false]) {
      const chosen = (name: string, i: number) =>
        (i % 2 === 0) === even && name;
      const again = ADDING.map((own, n): LayerCase => {
        const names = Object.keys(plain[n]);
        const before = names.map((name): [string, HostValue] => [name, {
          data: (plain[n][name] as Float32Array).map((_, i) => i + 1),
          shape: [],
        }]);
        const accumulate = names.filter(chosen);
        return {
          ...own,
          options: { ...own.options, accumulate },
          tensors: { ...own.tensors, ...Object.fromEntries(before) },
        };
      });
      const added = await runLayers(gpu, again);
      ADDING.forEach(({ op }, n) =>
        Object.keys(plain[n]).forEach((name, i) => {
          const before = (at: number) => chosen(name, i) ? at + 1 : 0;
          const expected = (plain[n][name] as Float32Array).map((x, at) =>
            Math.fround(x + before(at))
          );
          assertEquals(added[n][name], expected, `${op} ${name}`);
        })
      );
    }
  },
);

gpuTest(
  "ops of layers repeat bit by bit, and rows know no others",
  async (_, gpu) => {
    const rows = values(70, 6);
    const weight = values(6);
    const lone = {
      data: (rows.data as Float32Array).slice(24, 30),
      shape: [1, 6],
    };
    const cases: LayerCase[] = [
      { op: "rmsNorm", options: { input: rows, weight } },
      { op: "rmsNorm", options: { input: lone, weight } },
      ...ADDING,
    ];
    const [one, two] = [
      await runLayers(gpu, cases),
      await runLayers(gpu, cases),
    ];
    assertEquals(one, two);
    assertEquals(one[0].output.slice(24, 30), one[1].output);
  },
);

gpuTest("a layer's plan serves all layers and later steps", async (_, gpu) => {
  const of = (rows: number) => ({
    input: { dtype: "f32", shape: [rows, 6] },
    weight: { dtype: "f32", shape: [6] },
  } as const);
  using plan = await planLayer(gpu, "rmsNormBackward", of(70));
  assertEquals(plan.explain().dispatches.map(({ kernel }) => kernel), [
    "layers.row_norm.backward/f32.f32",
    "layers.column_sums.chunks/row_norm.f32",
    "layers.column_sums.total/row.tail",
  ]);
  const { input, weight } = ADDING[0].options as Record<string, HostValue>;
  const { outputGradient } = ADDING[0].tensors!;
  const [expected] = await runLayers(gpu, ADDING);
  const layers = [0, 1].map(() => ({
    input: gpu.tensor(input.data, [70, 6]),
    weight: gpu.tensor(weight.data, [6]),
    outputGradient: gpu.tensor(outputGradient.data, [70, 6]),
    inputGradient: gpu.empty("f32", [70, 6]),
    weightGradient: gpu.empty("f32", [6]),
  }));
  const run = () =>
    gpu.submit("layers", (encoder) => {
      for (const tensors of layers) plan.encode(encoder, tensors);
    });
  run();
  const found = await gpu.read(layers.map((own) => own.weightGradient));
  for (const gradient of found) assertEquals(gradient, expected.weightGradient);
  assertEquals(await objectsMadeBy(gpu, run), {
    buffers: 0,
    destroyed: 0,
    bindGroups: 0,
  });
  await plan.update(of(0));
  const { inputGradient: unused, ...rest } = layers[0];
  assertEquals(unused.size, 420);
  using none = gpu.empty("f32", [0, 6]);
  using empty = gpu.empty("f32", [0, 6]);
  using nothing = gpu.empty("f32", [0, 6]);
  gpu.submit("none", (encoder) =>
    plan.encode(encoder, {
      ...rest,
      input: none,
      outputGradient: empty,
      inputGradient: nothing,
    }));
  // Of no rows there is a gradient all the same.
  assertEquals([...await gpu.readOne(rest.weightGradient)], [0, 0, 0, 0, 0, 0]);
  for (const tensors of layers) {
    Object.values(tensors).forEach((tensor) => tensor.destroy());
  }
});

gpuTest("results are where the input is", async (_, gpu) => {
  const [input, weight] = [values(3, 6), values(6)] as [
    { data: Float32Array; shape: number[] },
    { data: Float32Array; shape: number[] },
  ];
  const host = await rmsNorm(gpu, { input, weight });
  using onDevice = gpu.tensor(input.data, input.shape);
  using output = await rmsNorm(gpu, { input: onDevice, weight });
  assertEquals(await gpu.readOne(output), host.data);
  const gradients = await rmsNormBackward(gpu, {
    input: onDevice,
    weight,
    outputGradient: input,
  });
  assertEquals(gradients.weightGradient.shape, [6]);
  gradients.inputGradient.destroy();
  gradients.weightGradient.destroy();
});

gpuTest("layers that cannot be are refused", async (_, gpu) => {
  const f32 = (...shape: number[]) => ({ dtype: "f32", shape }) as const;
  const rows = { input: f32(3, 6), weight: f32(6) };
  const taps = { input: f32(2, 5, 6), weight: f32(6, 3) };
  const logits = f32(2, 5);
  const wrong: [keyof LayerOptions, object, ErrorConstructor, string][] = [
    ["rmsNorm", { ...rows, epsilon: 1 }, TypeError, "write eps"],
    ["rmsNorm", { ...rows, eps: 0 }, RangeError, "eps must be > 0"],
    ["rmsNorm", { ...rows, eps: 1e-60 }, RangeError, "eps must be > 0"],
    ["rmsNorm", { ...rows, eps: NaN }, RangeError, "eps must be finite"],
    ["rmsNorm", { ...rows, eps: 1e39 }, RangeError, "finite in float32"],
    // Loops of an invocation have an end.
    [
      "l2Normalize",
      { input: f32(1, 2_048_001) },
      RangeError,
      "width must be an integer in 1..2048000",
    ],
    [
      "projectBackward",
      {
        input: { dtype: "f16", shape: [66_560_001, 1] },
        weight: f32(1, 1),
        bias: true,
      },
      RangeError,
      "rows must be an integer in 0..66560000",
    ],
    [
      "crossEntropy",
      { logits: { dtype: "f16", shape: [1, 16_640_001] } },
      RangeError,
      "width must be an integer in 1..16640000",
    ],
    ["rmsNorm", { input: f32(3, 6) }, TypeError, "weight must be given"],
    [
      "rmsNorm",
      { ...rows, weight: f32(5) },
      TypeError,
      "weight.shape must be [6]: current value is [5]",
    ],
    [
      "rmsNorm",
      { ...rows, input: f32() },
      TypeError,
      "input.shape must have a",
    ],
    ["rmsNorm", { weight: f32(6) }, TypeError, "input must be given"],
    ["l2Normalize", { input: f32(3, 0) }, TypeError, "at least one element"],
    [
      "rmsNormBackward",
      { ...rows, accumulate: ["weight"] },
      TypeError,
      "accumulate[0] must be one of inputGradient, weightGradient",
    ],
    [
      "rmsNormBackward",
      { ...rows, outputGradient: f32(3, 5) },
      TypeError,
      "outputGradient.shape must be [3, 6]",
    ],
    [
      "rmsNormBackward",
      { ...rows, outputGradient: { dtype: "f16", shape: [3, 6] } },
      TypeError,
      "outputGradient.dtype must be f32",
    ],
    [
      "logGate",
      { input: f32(3), normalizer: 0 },
      RangeError,
      "normalizer must",
    ],
    ["logGate", { input: f32(3), normalizer: 1e39 }, RangeError, "float32"],
    ["logGate", { input: f32(3), gate: f32(3) }, TypeError, "no such option"],
    ["swishGate", { input: f32(3) }, TypeError, "gate must be given"],
    ["swishGate", { input: f32(3), gate: f32(4) }, TypeError, "gate.shape"],
    [
      "shortConvolution",
      { ...taps, weight: f32(6, 1) },
      RangeError,
      "kernelSize must be an integer in 2..8",
    ],
    ["shortConvolution", { ...taps, weight: f32(6, 9) }, RangeError, "2..8"],
    [
      "shortConvolution",
      { ...taps, weight: f32(3, 6) },
      TypeError,
      "weight.shape must be [6, kernelSize]",
    ],
    [
      "shortConvolution",
      { ...taps, input: f32(10, 6) },
      TypeError,
      "give cuSeqlens with [tokens, channels]",
    ],
    [
      "shortConvolution",
      { ...taps, input: f32(10, 6), cuSeqlens: [0, 9] },
      RangeError,
      "cuSeqlens must end with the number of tokens (10)",
    ],
    [
      "shortConvolution",
      { ...taps, initialState: f32(2, 3, 6) },
      TypeError,
      "initialState.shape must be [2, 2, 6]",
    ],
    [
      "shortConvolution",
      { ...taps, silu: 1 },
      TypeError,
      "silu must be a bool",
    ],
    ["shortConvolution", { ...taps, activation: 1 }, TypeError, "write silu"],
    [
      "crossEntropy",
      { logits, targets: { data: Uint32Array.of(1, 5), shape: [2] } },
      RangeError,
      "targets.data[1] must be < 5, or NO_TARGET",
    ],
    [
      "crossEntropy",
      { logits, targets: { data: Uint32Array.of(1), shape: [1] } },
      TypeError,
      "targets.shape must be [2]",
    ],
    [
      "crossEntropy",
      { logits, targets: f32(2) },
      TypeError,
      "targets.dtype must be u32",
    ],
    [
      "crossEntropy",
      { logits, reduction: "none" },
      TypeError,
      "reduction must",
    ],
    [
      "crossEntropyBackward",
      { logits, lossGradient: Infinity },
      RangeError,
      "lossGradient must be finite",
    ],
    [
      "crossEntropyBackward",
      { logits, lossGradient: 1e39 },
      RangeError,
      "lossGradient must be finite in float32",
    ],
    ["softmax" as "rmsNorm", rows, TypeError, "name must be one of project"],
  ];
  for (const [name, options, kind, message] of wrong) {
    const error = await assertRejects(
      () => planLayer(gpu, name, options as LayerOptions[typeof name]),
      kind,
    );
    assert(error.message.includes(message), `${name}: ${error.message}`);
  }
  const own = values(3, 6) as { data: Float32Array; shape: number[] };
  await assertRejects(
    () => rmsNormBackward(gpu, { input: own, weight: values(6) as typeof own }),
    TypeError,
    "outputGradient must be given",
  );
  await assertRejects(
    () =>
      rmsNormBackward(gpu, {
        input: own,
        weight: values(6) as typeof own,
        outputGradient: own,
        accumulate: ["weightGradient"],
      }),
    TypeError,
    "accumulate must be given to a plan only",
  );
  await assertRejects(
    () => swishGate(gpu, { input: own, gate: f32(3, 6) }),
    TypeError,
  );
  using plan = await planLayer(gpu, "rmsNorm", rows);
  using input = gpu.empty("f32", [3, 6]);
  using output = gpu.empty("f32", [3, 6]);
  using weight = gpu.empty("f32", [6]);
  const encoder = gpu.device.createCommandEncoder();
  const encode = (change: object) => () =>
    plan.encode(encoder, { input, output, weight, ...change });
  assertThrows(
    encode({ output: input }),
    TypeError,
    "output must not share a buffer with input",
  );
  assertThrows(
    encode({ weight: undefined }),
    TypeError,
    "weight must be given",
  );
  assertThrows(encode({ input: weight }), TypeError, "input must have 18 elem");
  assertThrows(encode({ scale: weight }), TypeError, "scale must not be given");
  await assertRejects(() => plan.update({ ...rows, eps: -1 }), RangeError);
  // No dispatch has both of these, and all the same neither is the other.
  using backward = await planLayer(gpu, "rmsNormBackward", rows);
  using inputGradient = gpu.empty("f32", [3, 6]);
  assertThrows(
    () =>
      backward.encode(encoder, {
        input,
        weight,
        outputGradient: output,
        inputGradient,
        weightGradient: weight,
      }),
    TypeError,
    "weightGradient must not share a buffer with weight",
  );
  encode({})();
  plan.destroy();
  assertThrows(encode({}), TypeError, "plan must not be destroyed");
});

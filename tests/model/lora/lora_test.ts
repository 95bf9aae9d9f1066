import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { HostTensor } from "../../../mod.ts";
import {
  loraProject as oracle,
  loraProjectBackward as gradientOracle,
} from "../../../reference/mod.ts";
import { EXACT, type Rounding } from "../../../reference/layers/rounding.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  LoraBackwardPlan,
  LoraPlan,
  loraProject,
  loraProjectBackward,
  mergeLora,
  unmergeLora,
} from "../../../src/model/mod.ts";
import { project } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkResult, stored } from "../../support/layer_runner.ts";

/** A projection and its update, and what a loss sends back. */
function loraCase(
  [rows, inFeatures, outFeatures, rank]: readonly [
    number,
    number,
    number,
    number,
  ],
  { dtype = "f32", weightType = "f32", biased = true, alpha }: {
    readonly dtype?: DType;
    readonly weightType?: DType;
    readonly biased?: boolean;
    readonly alpha?: number;
  } = {},
) {
  const random = new Prng(rows + inFeatures);
  const of = (dtype: DType, ...shape: number[]) =>
    stored(shape, { dtype, random, scale: shape.length / 2 });
  const given = {
    input: of(dtype, 1, rows, inFeatures),
    weight: of(weightType, outFeatures, inFeatures),
    ...(biased && { bias: of(weightType, outFeatures) }),
    a: of("f32", rank, inFeatures),
    b: of("f32", outFeatures, rank),
    ...(alpha !== undefined && { alpha }),
  };
  const outputGradient = of(dtype, 1, rows, outFeatures);
  const problem = {
    input: given.input.data,
    weight: given.weight.data,
    bias: given.bias?.data,
    a: given.a.data,
    b: given.b.data,
    inFeatures,
    outFeatures,
    rank,
    alpha: alpha ?? 16,
    outputGradient: outputGradient.data,
  };
  return { given, outputGradient, problem };
}

const dataOf = (tensors: object) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, data]),
  );

/** The naive version keeps what is between products as the rows are kept. */
function stored16(round: Rounding, dtype: DType) {
  return dtype === "f32" || round === EXACT ? {} : { store: Math.f16round };
}

async function holdCases(
  gpu: Parameters<typeof loraProject>[0],
  cases: readonly ReturnType<typeof loraCase>[],
): Promise<void> {
  for (const { given, outputGradient, problem } of cases) {
    const dtype = given.input.data instanceof Float32Array ? "f32" : "f16";
    const output = await loraProject<HostTensor>(gpu, given);
    assertEquals(output.shape, outputGradient.shape);
    checkResult("lora", { output: output.data }, (round) => ({
      output: oracle({ ...problem, round, ...stored16(round, dtype) }),
    }));
    const gradients = await loraProjectBackward<HostTensor>(gpu, given, {
      outputGradient,
    });
    assertEquals(gradients.aGradient.shape, given.a.shape);
    assertEquals(gradients.bGradient.shape, given.b.shape);
    checkResult(
      "lora's gradients",
      dataOf(gradients),
      (round) => ({
        ...gradientOracle({ ...problem, round, ...stored16(round, dtype) }),
      }),
    );
  }
}

gpuTest("loraProject() and its gradients are float64's", async (_, gpu) => {
  await holdCases(gpu, [
    loraCase([37, 16, 32, 8]),
    loraCase([5, 16, 4, 4], { alpha: 3, biased: false }),
    loraCase([40, 30, 33, 1], { alpha: -0.5 }),
  ]);
});

gpuTest("loraProject() of halves, and of weights in halves", async (_, gpu) => {
  await holdCases(gpu, [
    loraCase([33, 16, 32, 8], { dtype: "f16", weightType: "f16" }),
    loraCase([9, 16, 32, 8], { weightType: "f16", biased: false }),
  ]);
}, { features: ["shader-f16"] });

gpuTest(
  "loraProject() is the projection where B is zeros, bit by bit",
  async (_, gpu) => {
    const { given: { input, weight, bias, a, b } } = loraCase([20, 16, 32, 8]);
    const zeros = { data: new Float32Array(b.data.length), shape: b.shape };
    const update = { a, b: zeros };
    const output = await loraProject<HostTensor>(gpu, {
      input,
      weight,
      ...(bias && { bias }),
      ...update,
    });
    const plain = await project<HostTensor>(gpu, {
      input,
      weight,
      ...(bias && { bias }),
    });
    assertEquals(output.data, plain.data);
    // And nothing is learnt of A yet, but of B.
    const { aGradient, bGradient } = await loraProjectBackward<HostTensor>(
      gpu,
      { input, weight, ...update },
      { outputGradient: plain },
    );
    assert(aGradient.data.every((x) => x === 0));
    assert(bGradient.data.every((x) => x !== 0));
  },
);

gpuTest(
  "plans record as often as one likes, and add gradients up",
  async (_, gpu) => {
    const { given, outputGradient } = loraCase([20, 16, 32, 8]);
    const owned: { destroy(): void }[] = [];
    const tensor = ({ data, shape }: HostTensor) => {
      const made = gpu.tensor(data as Float32Array, shape);
      owned.push(made);
      return made;
    };
    const [input, weight, bias, a, b, sent] = [
      given.input,
      given.weight,
      given.bias!,
      given.a,
      given.b,
      outputGradient,
    ].map(tensor);
    const nothing = (like: HostTensor) =>
      tensor({
        data: new Float32Array(like.data.length).fill(NaN),
        shape: like.shape,
      });
    const once = [nothing(given.input), nothing(given.a), nothing(given.b)];
    const twice = [given.input, given.a, given.b].map((like) =>
      tensor({ data: new Float32Array(like.data.length), shape: like.shape })
    );
    const outputs = [nothing(outputGradient), nothing(outputGradient)];
    {
      using forward = await LoraPlan.create(gpu, given);
      const { bias: _bias, ...shapes } = given;
      using backward = await LoraBackwardPlan.create(gpu, shapes);
      using adding = await LoraBackwardPlan.create(gpu, {
        ...shapes,
        accumulate: ["input", "a", "b"],
      });
      const read = { input, weight, a, b };
      const named = ([inputGradient, aGradient, bGradient]: typeof once) => ({
        outputGradient: sent,
        inputGradient,
        aGradient,
        bGradient,
      });
      gpu.submit("lora", (encoder) => {
        for (const output of outputs) {
          forward.encode(encoder, { ...read, bias, output });
        }
        backward.encode(encoder, { ...read, ...named(once) });
        for (const _ of [0, 1]) {
          adding.encode(encoder, { ...read, ...named(twice) });
        }
      });
      assertEquals(forward.explain().dispatches.length, 3);
      // X A^T again, two by B, one by W and two by A: none by the weight.
      assertEquals(backward.explain().dispatches.length, 1 + 2 + 1 + 2);
      const [first, again] = await gpu.read(outputs);
      assertEquals(first, again);
      const [x, da, db, x2, da2, db2] = await gpu.read([...once, ...twice]);
      const doubled = (data: typeof da) =>
        (data as Float32Array).map((value) => 2 * value);
      // Doubling is exact, and so is adding equal sums to each other.
      assertEquals(da2, doubled(da));
      assertEquals(db2, doubled(db));
      const largest = Math.max(...(x as Float32Array).map(Math.abs));
      doubled(x).forEach((value, i) =>
        assert(Math.abs((x2 as Float32Array)[i] - value) <= 2 ** -21 * largest)
      );
      assertThrows(
        () => forward.encode(undefined!, { ...read, bias, output: input }),
        TypeError,
        "output must have",
      );
      assertThrows(
        () =>
          backward.encode(undefined!, {
            ...read,
            ...named([once[0], once[1], b]),
          }),
        TypeError,
        "bGradient must not share a buffer with b",
      );
      forward.destroy();
      assertThrows(
        () => forward.encode(undefined!, { ...read, bias, output: outputs[0] }),
        TypeError,
        "plan must not be destroyed",
      );
    }
    for (const one of owned) one.destroy();
  },
);

gpuTest("a plan writes nothing that it reads", async (_, gpu) => {
  const { given: { input: rows, weight, a, b } } = loraCase([16, 16, 16, 8]);
  const upload = ({ data, shape }: HostTensor) =>
    gpu.tensor(data as Float32Array, shape);
  using plan = await LoraPlan.create(gpu, { input: rows, weight, a, b });
  using input = upload(rows);
  using matrix = upload(weight);
  using low = upload(a);
  using high = upload(b);
  const tensors = { input, weight: matrix, a: low, b: high };
  for (const output of [input, matrix]) {
    assertThrows(
      () => plan.encode(undefined!, { ...tensors, output }),
      TypeError,
      "output must not share a buffer with",
    );
  }
});

gpuTest("what stays on the device is the caller's", async (_, gpu) => {
  const { given, outputGradient } = loraCase([7, 16, 32, 8]);
  using input = gpu.tensor(given.input.data as Float32Array, given.input.shape);
  using output = await loraProject(gpu, { ...given, input });
  const host = await loraProject<HostTensor>(gpu, given);
  assertEquals(await gpu.readOne(output), host.data);
  const gradients = await loraProjectBackward(gpu, { ...given, input }, {
    outputGradient,
  });
  for (const one of Object.values(gradients)) one.destroy();
});

gpuTest(
  "a weight with its update merged projects as both do",
  async (_, gpu) => {
    const { given, problem } = loraCase([37, 16, 32, 8]);
    const { input, weight, bias, a, b } = given;
    const merged = mergeLora({ weight, a, b });
    const output = await project<HostTensor>(gpu, {
      input,
      weight: merged,
      ...(bias && { bias }),
    });
    checkResult("merged", { output: output.data }, (round) => ({
      output: oracle({ ...problem, round }),
    }));
  },
);

Deno.test("unmergeLora() is off by what two roundings lose, at most", () => {
  for (const weightType of ["f32", "f16"] as const) {
    const { given: { weight, a, b } } = loraCase([1, 16, 32, 8], {
      weightType,
    });
    const merged = mergeLora({ weight, a, b, alpha: 5 });
    const again = unmergeLora({ weight: merged, a, b, alpha: 5 });
    assertEquals(merged.data.constructor, weight.data.constructor);
    assertEquals(again.shape, weight.shape);
    const half = weightType === "f32" ? 2 ** -24 : 2 ** -11;
    let changed = 0;
    weight.data.forEach((x, i) => {
      const [there, back] = [merged.data[i], again.data[i]];
      const lost = half * (Math.abs(there) + Math.abs(back)) * (1 + 2 ** -10) +
        2 ** -25;
      assert(Math.abs(back - x) <= lost, `${i}: ${back} of ${x}`);
      if (there !== x) changed++;
    });
    assert(changed > 500);
    // The update itself, in float64.
    const [row, column] = [3, 5];
    let update = 0;
    for (let r = 0; r < 8; r++) {
      update += b.data[row * 8 + r] * a.data[r * 16 + column];
    }
    const at = row * 16 + column;
    const expected = weight.data[at] + 5 / 8 * update;
    const stored = weight.data.slice(0, 1);
    stored[0] = expected;
    assertEquals(merged.data[at], stored[0]);
  }
});

gpuTest("loraProject() refuses what does not fit, by name", async (_, gpu) => {
  const { given } = loraCase([3, 16, 32, 8]);
  const matrix = (...shape: number[]) => ({
    data: new Float32Array(shape.reduce((x, y) => x * y, 1)),
    shape,
  });
  const half = (like: HostTensor) => ({
    data: new Float16Array(like.data.length),
    shape: like.shape,
  });
  const bad: [object, typeof TypeError | typeof RangeError, string][] = [
    [
      { weight: matrix(32, 15) },
      TypeError,
      "weight.shape must be [outFeatures, 16]",
    ],
    [{ a: matrix(8, 15) }, TypeError, "a.shape must be [rank, 16]"],
    [{ a: matrix(0, 16) }, TypeError, "a.shape"],
    [{ b: matrix(8, 32) }, TypeError, "b.shape must be [32, 8]"],
    [{ b: half(given.b) }, TypeError, "b.dtype must be f32"],
    [{ bias: matrix(31) }, TypeError, "bias.shape must be [32]"],
    [{ alpha: Infinity }, RangeError, "alpha must be finite"],
    [{ alpha: 1e40 }, RangeError, "alpha must be finite in float32"],
    [{ rank: 8 }, TypeError, "as a has it"],
    [{ input: undefined }, TypeError, "input must be given"],
    [{ b: undefined }, TypeError, "b must be given"],
  ];
  for (const [more, kind, message] of bad) {
    await assertRejects(
      () => loraProject(gpu, { ...given, ...more } as typeof given),
      kind,
      message,
      message,
    );
  }
  await assertRejects(
    () => loraProjectBackward(gpu, given, { outputGradient: given.input }),
    TypeError,
    "outputGradient.shape must be [1, 3, 32]",
  );
  await assertRejects(
    () => LoraBackwardPlan.create(gpu, given),
    TypeError,
    "bias must not be given to a plan of gradients",
  );
  const { bias: _bias, ...shapes } = given;
  await assertRejects(
    () =>
      LoraBackwardPlan.create(gpu, {
        ...shapes,
        accumulate: ["weight" as "a"],
      }),
    TypeError,
    'accumulate must be a list of "input", "a" and "b"',
  );
  const { weight, a, b } = given;
  assertThrows(
    () => mergeLora({ weight, a, b: matrix(31, 8) }),
    TypeError,
    "b.shape must be [32, 8]",
  );
  assertThrows(
    () => mergeLora({ weight, a: matrix(8, 15), b }),
    TypeError,
    "a.shape must be [8, 16]",
  );
  assertThrows(
    () => unmergeLora({ weight: matrix(4), a, b }),
    TypeError,
    "weight.shape must be that of a matrix",
  );
  assertThrows(
    () => mergeLora({ weight, a, b, alpha: NaN }),
    RangeError,
    "alpha",
  );
});

/**
 * Short convolutions against float64, by the error rule, and by what needs no
 * oracle: sequences know nothing of each other, and a state goes on.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { convolution, convolutionBackward } from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { planLayer, shortConvolution } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkLayers,
  type HostValue,
  type LayerCase,
  runLayers,
  stored,
} from "../../support/layer_runner.ts";
import { runsOf, SEED } from "../../support/property.ts";

/** Sequences of a batch, dense or ragged; some are empty, some shorter than taps. */
function lengthsOf(random: Prng, dense: boolean): number[] {
  const one = random.below(30);
  return Array.from(
    { length: random.below(4) },
    () => dense ? one : random.below(random.below(2) === 0 ? 4 : 40),
  );
}

function offsets(lengths: readonly number[]): number[] {
  return lengths.reduce((all, length) => [...all, all.at(-1)! + length], [0]);
}

/** Forward and backward at random shapes. */
function cases(dtype: DType, weightType: DType): LayerCase[] {
  const random = new Prng(SEED);
  return Array.from({ length: runsOf(12) }, (_, run): LayerCase[] => {
    const dense = run % 3 === 0;
    const lengths = lengthsOf(random, dense);
    const tokens = offsets(lengths).at(-1)!;
    const [channels, taps] = [1 + random.below(70), 2 + random.below(7)];
    const of = (shape: number[]) => stored(shape, { dtype, random });
    const input = dense
      ? of([lengths.length, lengths[0] ?? 3, channels])
      : of([tokens, channels]);
    const weight = stored([channels, taps], { dtype: weightType, random });
    const bias = stored([channels], { dtype: weightType, random });
    const states = [lengths.length, taps - 1, channels];
    const [initialState, finalStateGradient] = [of(states), of(states)];
    const outputGradient = of([...input.shape]);
    const [biased, silu] = [run % 2 === 0, random.below(2) === 0];
    const stateful = run % 4 < 2;
    const options = {
      input,
      weight,
      silu,
      ...(biased && { bias }),
      ...(!dense && { cuSeqlens: offsets(lengths) }),
      ...(stateful && { initialState }),
    };
    const problem = {
      input: input.data,
      lengths,
      channels,
      weight: weight.data,
      taps,
      silu,
      bias: biased ? bias.data : undefined,
      initialState: stateful ? initialState.data : undefined,
    };
    return [{
      op: "shortConvolution",
      options: { ...options, returnState: run % 4 > 0 },
      expect: (round) => ({ ...convolution({ ...problem, round }) }),
    }, {
      op: "shortConvolutionBackward",
      options: { ...options, ...(stateful && { finalStateGradient }) },
      tensors: { outputGradient },
      expect: (round) => ({
        ...convolutionBackward({
          ...problem,
          outputGradient: outputGradient.data,
          ...(stateful && { finalStateGradient: finalStateGradient.data }),
          round,
        }),
      }),
    }];
  }).flat();
}

gpuTest(
  "shortConvolution() and its gradients are float64's",
  async (_, gpu) => {
    await checkLayers(gpu, cases("f32", "f32"));
  },
);

gpuTest("shortConvolution() of halves", async (_, gpu) => {
  await checkLayers(gpu, cases("f16", "f32").slice(0, 8));
}, { features: ["shader-f16"] });

/** One sequence among others, of which `poisoned` says what they hold. */
function among(poisoned: number): LayerCase[] {
  const random = new Prng(7);
  const lengths = [5, 9, 4];
  const of = (shape: number[]) => stored(shape, { dtype: "f32", random });
  const poison = (value: HostValue, from: number, to: number): HostValue => ({
    ...value,
    data: (value.data as Float32Array).map((x, i) =>
      i >= from && i < to ? x : poisoned
    ),
  });
  const options = {
    input: poison(of([18, 8]), 40, 112),
    weight: of([8, 4]),
    silu: true,
    cuSeqlens: offsets(lengths),
    initialState: poison(of([3, 3, 8]), 24, 48),
  };
  return [
    { op: "shortConvolution", options: { ...options, returnState: true } },
    {
      op: "shortConvolutionBackward",
      options: {
        ...options,
        finalStateGradient: poison(of([3, 3, 8]), 24, 48),
      },
      tensors: { outputGradient: poison(of([18, 8]), 40, 112) },
    },
  ];
}

gpuTest(
  "shortConvolution() reads nothing of other sequences",
  async (_, gpu) => {
    const own = (result: Readonly<Record<string, ArrayLike<number>>>) =>
      Object.entries(result).flatMap(([name, data]) => {
        if (name === "weightGradient") return []; // All sequences add to it.
        const [from, to] = data.length === 144 ? [40, 112] : [24, 48];
        return Array.from(data).slice(from, to);
      });
    const [clean, nans, huge] = await Promise.all(
      [0, NaN, 1e30].map((value) => runLayers(gpu, among(value))),
    );
    assertEquals(clean.map(own).flat().some(Number.isNaN), false);
    assertEquals(nans.map(own), clean.map(own));
    assertEquals(huge.map(own), clean.map(own));
  },
);

gpuTest(
  "shortConvolution() goes on where it was, token by token",
  async (_, gpu) => {
    const random = new Prng(3);
    const of = (shape: number[]) => stored(shape, { dtype: "f32", random });
    const [input, weight] = [of([2, 11, 6]), of([6, 4])];
    const whole = await shortConvolution(gpu, {
      input,
      weight,
      silu: true,
      returnState: true,
    });
    // A plan may write the final state over the initial one.
    const token = { dtype: "f32", shape: [2, 1, 6] } as const;
    using plan = await planLayer(gpu, "shortConvolution", {
      input: token,
      weight: { dtype: "f32", shape: [6, 4] },
      silu: true,
      initialState: { dtype: "f32", shape: [2, 3, 6] },
      returnState: true,
    });
    using state = gpu.empty("f32", [2, 3, 6]);
    using taps = gpu.tensor(weight.data, [6, 4]);
    using output = gpu.empty("f32", token.shape);
    for (let t = 0; t < 11; t++) {
      const rows = [0, 1].flatMap((b) => {
        const at = (b * 11 + t) * 6;
        return [...input.data.subarray(at, at + 6)];
      });
      using own = gpu.tensor(Float32Array.from(rows), token.shape);
      gpu.submit("step", (encoder) =>
        plan.encode(encoder, {
          input: own,
          weight: taps,
          initialState: state,
          finalState: state,
          output,
        }));
      const found = await gpu.readOne(output);
      const expected = [0, 1].flatMap((b) => {
        const at = (b * 11 + t) * 6;
        return [...whole.output.data.subarray(at, at + 6)];
      });
      assertEquals([...found], expected, `token ${t}`);
    }
    assertEquals(await gpu.readOne(state), whole.finalState!.data);
  },
);

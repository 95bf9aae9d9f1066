/**
 * Projections against float64, by the error rule.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import {
  project as oracle,
  projectBackward as gradients,
} from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { planLayer } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkLayers,
  type LayerCase,
  runLayers,
  stored,
} from "../../support/layer_runner.ts";
import { runsOf, SEED } from "../../support/property.ts";

/** Below, at and past a tile. */
const WIDTHS = { vector: [4, 16, 32, 68, 96], tail: [1, 3, 30, 33, 65] };

/** Forward and backward at random shapes, with few kernels. */
function cases(
  { dtype, weightType, rows: kind, count }: {
    readonly dtype: DType;
    readonly weightType: DType;
    readonly rows: keyof typeof WIDTHS;
    readonly count: number;
  },
): LayerCase[] {
  const random = new Prng(SEED);
  const widths = WIDTHS[kind];
  const width = () => widths[random.below(widths.length)];
  const biased = kind === "vector";
  return Array.from({ length: runsOf(count) }, (_, run): LayerCase[] => {
    const [rows, inFeatures, outFeatures] = [
      run === 0 ? 0 : random.below(90),
      width(),
      width(),
    ];
    const input = stored([rows, inFeatures], { dtype, random });
    const outputGradient = stored([rows, outFeatures], { dtype, random });
    const weight = stored([outFeatures, inFeatures], {
      dtype: weightType,
      random,
    });
    const bias = stored([outFeatures], { dtype: weightType, random });
    const problem = {
      input: input.data,
      weight: weight.data,
      bias: biased ? bias.data : undefined,
      inFeatures,
      outFeatures,
    };
    return [{
      op: "project",
      options: { input, weight, ...(biased && { bias }) },
      expect: (round) => ({ output: oracle({ ...problem, round }) }),
    }, {
      op: "projectBackward",
      options: { input, weight, bias: biased },
      tensors: { outputGradient },
      expect: (round) => ({
        ...gradients({
          ...problem,
          outputGradient: outputGradient.data,
          round,
        }),
      }),
    }];
  }).flat();
}

gpuTest("project() and its gradients are float64's", async (_, gpu) => {
  const types = { dtype: "f32", weightType: "f32" } as const;
  await checkLayers(gpu, [
    ...cases({ ...types, rows: "vector", count: 6 }),
    ...cases({ ...types, rows: "tail", count: 6 }),
  ]);
});

gpuTest("project() of halves", async (_, gpu) => {
  await checkLayers(gpu, [
    ...cases({ dtype: "f16", weightType: "f32", rows: "vector", count: 4 }),
    ...cases({ dtype: "f16", weightType: "f16", rows: "tail", count: 4 }),
  ]);
}, { features: ["shader-f16"] });

gpuTest(
  "project() scales products, not the bias, and adds to what is there",
  async (_, gpu) => {
    const random = new Prng(9);
    const dtype = "f32";
    const values = (...shape: number[]) => stored(shape, { dtype, random });
    const [input, weight, bias] = [values(9, 8), values(12, 8), values(12)];
    const outputGradient = values(9, 12);
    const before = values(9, 12);
    // A power of two, which changes no rounding.
    const scale = 0.25;
    const given = { input, weight };
    const backward = {
      op: "projectBackward",
      options: { ...given, bias: true },
      tensors: { outputGradient },
    } as const;
    const scaled = { ...backward.options, scale };
    const [plain, biased, added, gradients, quarters, frozen] = await runLayers(
      gpu,
      [
        { op: "project", options: given },
        { op: "project", options: { ...given, bias, scale } },
        {
          op: "project",
          options: { ...given, scale, accumulate: ["output"] },
          tensors: { output: before },
        },
        backward,
        { ...backward, options: scaled },
        { ...backward, options: { ...scaled, frozen: true } },
      ],
    );
    const quarter = (x: number) => Math.fround(scale * x);
    const products = plain.output as Float32Array;
    assertEquals(
      biased.output,
      products.map((x, i) => quarter(x) + bias.data[i % 12]),
    );
    assertEquals(
      added.output,
      products.map((x, i) => quarter(x) + before.data[i]),
    );
    for (const name of ["inputGradient", "weightGradient"]) {
      assertEquals(
        quarters[name],
        (gradients[name] as Float32Array).map(quarter),
      );
    }
    assertEquals(quarters.biasGradient, gradients.biasGradient);
    assertEquals(frozen, { inputGradient: quarters.inputGradient });
  },
);

gpuTest(
  "project() refuses a scale that is no number, by name",
  async (_, gpu) => {
    const options = {
      input: { dtype: "f32", shape: [2, 4] },
      weight: { dtype: "f32", shape: [4, 4] },
    } as const;
    for (const op of ["project", "projectBackward"] as const) {
      for (const scale of [NaN, Infinity, 1e39]) {
        await assertRejects(
          () => planLayer(gpu, op, { ...options, scale }),
          RangeError,
          "scale must be finite",
        );
      }
    }
    await assertRejects(
      () =>
        planLayer(gpu, "projectBackward", {
          ...options,
          frozen: 1 as unknown as boolean,
        }),
      TypeError,
      "frozen must be a boolean",
    );
    await assertRejects(
      () =>
        planLayer(gpu, "projectBackward", {
          ...options,
          frozen: true,
          accumulate: ["weightGradient"],
        }),
      TypeError,
      "accumulate[0] must be one of inputGradient",
    );
  },
);

gpuTest(
  "projectBackward() of more rows than a loop takes is summed in parts",
  async (_, gpu) => {
    const rows = 260_011;
    const data = new Float32Array(rows).fill(1);
    // Those of the second part, which are not those of the first again.
    const input = { data: data.map((_, i) => i < 260_000 ? 1 : 2) };
    const column = [rows, 1];
    const [{ weightGradient, biasGradient }] = await runLayers(gpu, [{
      op: "projectBackward",
      options: {
        input: { ...input, shape: column },
        weight: { data: Float32Array.of(1), shape: [1, 1] },
        bias: true,
      },
      tensors: { outputGradient: { data, shape: column } },
    }]);
    assertEquals([...weightGradient], [260_000 + 2 * 11]);
    assertEquals([...biasGradient], [rows]);
  },
);

gpuTest(
  "project() gives a row the same bits, whatever is beside it",
  async (_, gpu) => {
    const random = new Prng(5);
    const dtype = "f32";
    const input = stored([70, 20], { dtype, random });
    const weight = stored([40, 20], { dtype, random });
    const lone = { data: input.data.slice(37 * 20, 38 * 20), shape: [1, 20] };
    const poisoned = {
      data: input.data.map((x, i) => Math.floor(i / 20) === 37 ? x : NaN),
      shape: [70, 20],
    };
    const [all, one, among] = await runLayers(gpu, [
      { op: "project", options: { input, weight } },
      { op: "project", options: { input: lone, weight } },
      { op: "project", options: { input: poisoned, weight } },
    ]);
    const own = all.output.slice(37 * 40, 38 * 40);
    assertEquals(one.output, own);
    assertEquals(among.output.slice(37 * 40, 38 * 40), own);
  },
);

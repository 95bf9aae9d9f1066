/**
 * RMSNorm and l2 normalisation against float64, by the error rule.
 *
 * @module
 */

import { rowNorm, rowNormBackward } from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkLayers,
  type LayerCase,
  stored,
} from "../../support/layer_runner.ts";
import { runsOf, SEED } from "../../support/property.ts";

const WIDTHS = [1, 3, 8, 30, 64, 127, 128, 260];

/** Forward and backward of random rows; small ones make eps count. */
function cases(dtype: DType, weight: DType): LayerCase[] {
  const random = new Prng(SEED);
  return Array.from({ length: runsOf(8) }, (_, run): LayerCase[] => {
    const width = WIDTHS[random.below(WIDTHS.length)];
    const shape = run === 0
      ? [0, width]
      : [1 + random.below(3), 1 + random.below(40), width];
    const norm = run % 2 === 0 ? "rms" : "l2";
    const eps = run % 3 === 0 ? 0.1 : 1e-6;
    const input = stored(shape, { dtype, random, scale: 0.5 });
    const outputGradient = stored(shape, { dtype, random });
    const weights = stored([width], { dtype: weight, random });
    const problem = {
      input: input.data,
      width,
      mean: norm === "rms",
      eps: Math.fround(eps),
      weight: norm === "rms" ? weights.data : undefined,
      outputGradient: outputGradient.data,
    };
    const options = { input, eps, ...(norm === "rms" && { weight: weights }) };
    return [{
      op: norm === "rms" ? "rmsNorm" : "l2Normalize",
      options,
      expect: (round) => ({ output: rowNorm({ ...problem, round }) }),
    }, {
      op: norm === "rms" ? "rmsNormBackward" : "l2NormalizeBackward",
      options,
      tensors: { outputGradient },
      expect: (round) => ({ ...rowNormBackward({ ...problem, round }) }),
    }];
  }).flat();
}

gpuTest("rmsNorm() and l2Normalize() are float64's", async (_, gpu) => {
  await checkLayers(gpu, cases("f32", "f32"));
});

gpuTest("rmsNorm() and l2Normalize() of halves", async (_, gpu) => {
  await checkLayers(gpu, cases("f16", "f32"));
  await checkLayers(gpu, cases("f16", "f16").slice(0, 4));
}, { features: ["shader-f16"] });

gpuTest("rmsNorm() of many rows: gradients in chunks", async (_, gpu) => {
  const random = new Prng(SEED);
  const dtype = "f32";
  const [rows, width] = [300, 6];
  const input = stored([rows, width], { dtype, random });
  const outputGradient = stored([rows, width], { dtype, random });
  const weight = stored([width], { dtype, random });
  await checkLayers(gpu, [{
    op: "rmsNormBackward",
    options: { input, weight },
    tensors: { outputGradient },
    expect: (round) => ({
      ...rowNormBackward({
        input: input.data,
        weight: weight.data,
        outputGradient: outputGradient.data,
        width,
        mean: true,
        eps: Math.fround(1e-5),
        round,
      }),
    }),
  }]);
});

/**
 * Cross entropy against float64, by the error rule.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  crossEntropy as oracle,
  crossEntropyBackward as gradientOracle,
} from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { NO_TARGET } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkLayers,
  type LayerCase,
  runLayers,
  stored,
} from "../../support/layer_runner.ts";
import { runsOf, SEED } from "../../support/property.ts";

const WIDTHS = [1, 2, 7, 64, 255, 300, 1000];

/** Forward and backward at random shapes; some rows do not count. */
function cases(dtype: DType): LayerCase[] {
  const random = new Prng(SEED);
  return Array.from({ length: runsOf(8) }, (_, run): LayerCase[] => {
    const width = WIDTHS[random.below(WIDTHS.length)];
    const rows = run === 0 ? 0 : 1 + random.below(80);
    const logits = stored([rows, width], { dtype, random, scale: 5 });
    const weights = stored([rows], { dtype: "f32", random });
    const rowWeights = { ...weights, data: weights.data.map(Math.abs) };
    const targets = {
      data: Uint32Array.from({ length: rows }, () => {
        const target = random.below(width + 1);
        return run !== 1 && target < width ? target : NO_TARGET;
      }),
      shape: [rows],
    };
    const reduction = run % 2 === 0 ? "mean" : "sum";
    const weighted = run % 3 > 0;
    const options = {
      logits,
      targets,
      reduction,
      ...(weighted && { rowWeights }),
    };
    const problem = {
      logits: logits.data,
      width,
      targets: targets.data,
      reduction: reduction as "mean" | "sum",
      rowWeights: weighted ? rowWeights.data : undefined,
    };
    const { lse } = oracle(problem);
    return [{
      op: "crossEntropy",
      options,
      expect(round) {
        const { loss, ...own } = oracle({ ...problem, round });
        return { loss: [loss], ...own };
      },
    }, {
      op: "crossEntropyBackward",
      options,
      tensors: { lse: { data: Float32Array.from(lse), shape: [rows] } },
      expect: (round) => ({
        logitsGradient: gradientOracle({ ...problem, round }),
      }),
    }];
  }).flat();
}

gpuTest("crossEntropy() and its gradient are float64's", async (_, gpu) => {
  await checkLayers(gpu, cases("f32"));
});

gpuTest("crossEntropy() of halves", async (_, gpu) => {
  await checkLayers(gpu, cases("f16"));
}, { features: ["shader-f16"] });

gpuTest(
  "crossEntropy() of rows that do not count is 0, whatever they hold",
  async (_, gpu) => {
    const logits = { data: new Float32Array(14).fill(NaN), shape: [2, 7] };
    logits.data.set([0, 0, 0, 0, 0, 0, 0]);
    const targets = { data: Uint32Array.of(3, NO_TARGET), shape: [2] };
    const lse = { data: Float32Array.of(Math.log(7), NaN), shape: [2] };
    const [forward, backward] = await runLayers(gpu, [
      { op: "crossEntropy", options: { logits, targets } },
      {
        op: "crossEntropyBackward",
        options: { logits, targets, lossGradient: 7 },
        tensors: { lse },
      },
    ]);
    assert(Math.abs(forward.loss[0] - Math.log(7)) < 1e-6);
    assertEquals(forward.rowLosses[1], 0);
    assertEquals([...backward.logitsGradient.slice(7)], new Array(7).fill(0));
    assert(Math.abs(backward.logitsGradient[3] + 6) < 1e-5);
  },
);

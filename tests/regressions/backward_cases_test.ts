/**
 * Cases of gradients that a fault once got wrong, or a rule judged wrongly: each
 * says which. New ones are the JSON of a replay line.
 *
 * @module
 */

import { checkBackward } from "../support/backward/check.ts";
import { type BackwardCase, runBackward } from "../support/backward/runner.ts";
import { gpuTest } from "../support/gpu.ts";

const CASES: readonly (readonly [why: string, c: BackwardCase])[] = [
  [
    "gradients below the smallest normal number are as far off as they are apart",
    {
      seed: 660893684,
      dtype: "f32",
      layout: "ragged",
      sequences: [[1, 339]],
      queryHeads: 6,
      kvHeads: 2,
      headDim: 1,
      valueHeadDim: 96,
      distribution: "tiny",
      window: { left: 299, right: 39 },
      queryOffset: 567,
      workers: 3,
    },
  ],
];

for (const [why, c] of CASES) {
  gpuTest(why, async (_, gpu) => {
    const [result] = await runBackward(gpu, [c]);
    checkBackward(c, result);
  });
}

import type { AttentionCase } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/**
 * Cases that a fault once got wrong and that a suite of the time let pass: each
 * says which. New ones are the JSON of a replay line.
 */
const CASES: readonly (readonly [why: string, c: AttentionCase])[] = [
  [
    "one stream-K worker takes more iterations than llvmpipe lets loops take",
    {
      seed: 1295323423,
      dtype: "f16",
      layout: "ragged",
      sequences: [[64, 128], [1, 339], [0, 5], [64, 128]],
      queryHeads: 6,
      kvHeads: 2,
      headDim: 32,
      valueHeadDim: 32,
      distribution: "normal",
      masks: [{ kind: "headParity" }],
      queryOffset: 528,
      splits: "stream-k",
      workers: 1,
    },
  ],
  [
    "a merge that writes rows past its sequence overwrites what the forward kernel wrote",
    {
      seed: 1,
      dtype: "f32",
      layout: "ragged",
      sequences: [[2, 500], [1, 900], [40, 60]],
      queryHeads: 2,
      kvHeads: 1,
      headDim: 16,
      valueHeadDim: 16,
      distribution: "normal",
      splits: 2,
    },
  ],
  [
    "a tail of two elements needs its second one",
    {
      seed: 1,
      dtype: "f32",
      layout: "ragged",
      sequences: [[40, 83]],
      padding: 3,
      queryHeads: 6,
      kvHeads: 2,
      headDim: 6,
      valueHeadDim: 5,
      distribution: "normal",
      causal: true,
    },
  ],
  [
    "an error of 2.3 times the naive version's is within the bound of float32",
    {
      seed: 1171832522,
      dtype: "f32",
      layout: "paged",
      blockSize: 64,
      sequences: [[2, 799], [239, 1], [2, 65]],
      queryHeads: 4,
      kvHeads: 1,
      headDim: 59,
      valueHeadDim: 59,
      distribution: "normal",
      scale: 0.7276370548643172,
      window: { left: 344, right: 26 },
      algorithm: "standard",
    },
  ],
  [
    "a barrier between scores and weights shows with more lanes than run at once",
    {
      seed: 1,
      dtype: "f32",
      layout: "dense",
      sequences: [[2, 900]],
      queryHeads: 2,
      kvHeads: 1,
      headDim: 4,
      valueHeadDim: 8,
      distribution: "normal",
      tiles: "hardware",
    },
  ],
];

gpuTest("attention() keeps right what was wrong once", async (t, gpu) => {
  const results = await runCases(gpu, CASES.map(([, c]) => c));
  for (const [i, [why, c]] of CASES.entries()) {
    await t.step(why, () => void checkCase(c, results[i]));
  }
});

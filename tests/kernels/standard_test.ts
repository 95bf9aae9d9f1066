import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

gpuTest("standardKernels() handle tails in every dimension", async (_, gpu) => {
  const c: AttentionCase = {
    ...PLAIN,
    layout: "paged",
    blockSize: 5,
    sequences: [[40, 83], [33, 20], [1, 16], [37, 1], [35, 0], [100, 39]],
    queryHeads: 6,
    kvHeads: 2,
    headDim: 7,
    valueHeadDim: 23,
    causal: true,
    algorithm: "standard",
  };
  const cases: AttentionCase[] = [
    c,
    { ...c, queryOffset: -50 },
    { ...c, distribution: "large" },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((it, i) => checkCase(it, results[i]));
});

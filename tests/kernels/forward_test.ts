import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** Tiles that end in the middle of rows, keys, heads and vec4s. */
const TAIL: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: [[40, 83], [33, 20], [40, 16], [37, 1], [35, 0], [100, 39]],
  padding: 3,
  queryHeads: 6,
  kvHeads: 2,
  headDim: 6,
  valueHeadDim: 5,
  causal: true,
};

const PAGED: AttentionCase = {
  ...PLAIN,
  layout: "paged",
  blockSize: 5,
  sequences: [[40, 83], [60, 37]],
  headDim: 16,
  valueHeadDim: 8,
};

async function check(
  gpu: Parameters<typeof runCases>[0],
  cases: readonly AttentionCase[],
): Promise<void> {
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
}

gpuTest(
  "forwardKernel() handles tails in every dimension",
  (_, gpu) =>
    check(gpu, [
      TAIL,
      { ...TAIL, queryOffset: -50 },
      { ...TAIL, distribution: "large" },
      { ...TAIL, scale: 0.7 },
    ]),
);

gpuTest(
  "forwardKernel() reads blocks through the table",
  (_, gpu) =>
    check(gpu, [PAGED, { ...PAGED, queryHeads: 4, kvHeads: 2, seed: 2 }]),
);

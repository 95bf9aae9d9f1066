import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

async function check(
  gpu: Parameters<typeof runCases>[0],
  cases: readonly AttentionCase[],
): Promise<void> {
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
}

gpuTest(
  "forwardKernel() skips tiles and masks the others at each edge",
  (_, gpu) =>
    check(
      gpu,
      [0, 7, 15, 16, 17, 31, 40].flatMap((left) =>
        [0, 1, 16, 30].map((right): AttentionCase => ({
          ...PLAIN,
          sequences: [[70, 90]],
          window: { left, right },
          seed: left,
        }))
      ),
    ),
);

gpuTest(
  "forwardKernel() takes the runs of its own head and sequence",
  (_, gpu) =>
    check(gpu, [
      {
        ...PLAIN,
        sequences: [[40, 83], [40, 83]],
        kvHeads: 2,
        masks: [{ kind: "headParity" }],
      },
    ]),
);

gpuTest("forwardKernel() applies score mods in order", (_, gpu) =>
  check(gpu, [
    {
      ...PLAIN,
      headDim: 8,
      valueHeadDim: 8,
      sequences: [[40, 83], [40, 30]],
      causal: true,
      score: { softcap: 2, alibi: true },
      scale: 2,
    },
  ]));

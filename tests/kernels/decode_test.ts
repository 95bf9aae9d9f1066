import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** One and two queries of a group of two; lengths around a step. */
const TAIL: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: [[1, 83], [2, 20], [2, 128], [1, 129], [2, 1], [2, 0], [1, 300]],
  padding: 3,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 7,
  valueHeadDim: 5,
  causal: true,
};

async function check(
  gpu: Parameters<typeof runCases>[0],
  cases: readonly AttentionCase[],
): Promise<void> {
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
}

/** More lanes than a software adapter runs at once show a missing barrier. */
const WIDE: AttentionCase = {
  ...PLAIN,
  sequences: [[2, 900]],
  headDim: 4,
  valueHeadDim: 8,
  tiles: "hardware",
};

gpuTest("decodeKernel() keeps lanes in step", (_, gpu) => check(gpu, [WIDE]));

gpuTest(
  "decodeKernel() handles tails in every dimension",
  (_, gpu) =>
    check(gpu, [
      TAIL,
      { ...TAIL, queryOffset: 5 },
      { ...TAIL, distribution: "large" },
      { ...TAIL, scale: 0.7 },
    ]),
);

gpuTest("decodeKernel() owns several columns a lane", (_, gpu) =>
  check(gpu, [
    { ...TAIL, layout: "paged", blockSize: 5, headDim: 4, valueHeadDim: 72 },
  ]));

gpuTest("decodeKernel() masks at each edge of a window", (_, gpu) =>
  check(
    gpu,
    [0, 3, 127, 128, 130, 200].flatMap((left) =>
      [0, 5].map((right): AttentionCase => ({
        ...PLAIN,
        sequences: [[2, 300], [2, 259]],
        window: { left, right },
        queryOffset: 250,
        seed: left,
      }))
    ),
  ));

// The forward kernel's rows are there already when decode's are merged.
gpuTest(
  "mergeKernel() writes the rows of its sequence alone",
  (_, gpu) =>
    check(gpu, [
      {
        ...PLAIN,
        layout: "ragged",
        sequences: [[2, 500], [1, 900], [40, 60]],
        splits: "fixed",
      },
    ]),
);

gpuTest("decodeKernel() merges splits", (_, gpu) =>
  check(
    gpu,
    ([2, 3, 7] as const).flatMap((splits): AttentionCase[] => {
      const c: AttentionCase = {
        ...PLAIN,
        layout: "ragged",
        sequences: [[1, 900], [2, 500], [1, 5], [2, 0]],
        valueHeadDim: 40,
        queryHeads: 4,
        kvHeads: 2,
        splits,
      };
      return [c, { ...c, distribution: "large" }];
    }),
  ));

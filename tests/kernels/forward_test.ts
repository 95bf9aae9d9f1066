import {
  type AttentionCase,
  dataOf,
  PLAIN,
} from "../support/attention_cases.ts";
import { assertClose, checkCase } from "../support/attention_check.ts";
import { runCases } from "../support/attention_runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** Tiles that end in the middle of rows, keys, heads and vec4s. */
const TAIL: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: [[40, 83], [33, 20], [40, 16], [37, 1], [35, 0], [100, 39]],
  padding: 3,
  queryHeads: 6,
  kvHeads: 2,
  headDim: 7,
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

gpuTest("forwardKernel() applies score mods in order", (_, gpu) =>
  check(gpu, [
    {
      ...TAIL,
      layout: "dense",
      headDim: 8,
      valueHeadDim: 8,
      sequences: [[40, 83], [40, 30]],
      score: { softcap: 2, alibi: true },
      scale: 2,
    },
  ]));

gpuTest(
  "forwardKernel() keeps values that a row does not see out of it",
  async (_, gpu) => {
    const c: AttentionCase = { ...PLAIN, sequences: [[40, 83]], causal: true };
    const [data] = dataOf(c);
    const value = data.value.slice().fill(NaN, -c.valueHeadDim);
    const spoilt = { data: () => [{ ...data, value }] };
    const [clean] = await runCases(gpu, [c]);
    const [result] = await runCases(gpu, [c], spoilt);
    // The last query alone sees the last key.
    const from = 39 * c.queryHeads * c.valueHeadDim;
    result.output.set(clean.output.slice(from), from);
    assertClose(c, result, clean, "a NaN in the last value");
  },
);

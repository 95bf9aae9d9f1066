import {
  type AttentionCase,
  dataOf,
  PLAIN,
} from "../support/attention/cases.ts";
import { assertClose } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

const CASE: AttentionCase = {
  ...PLAIN,
  sequences: [[40, 83]],
  causal: true,
};

/** A NaN value at key `bad` touches queries that see that key, and no other. */
async function check(
  gpu: Parameters<typeof runCases>[0],
  c: AttentionCase,
  bad: number,
): Promise<void> {
  const [data] = dataOf(c);
  const width = c.kvHeads * c.valueHeadDim;
  const value = data.value.slice().fill(NaN, bad * width, (bad + 1) * width);
  const [clean] = await runCases(gpu, [c]);
  const [result] = await runCases(gpu, [c], {
    data: () => [{ ...data, value }],
  });
  const [queries, keys] = c.sequences[0];
  const from = (bad + queries - keys) * c.queryHeads * c.valueHeadDim;
  result.output.set(clean.output.slice(from), from);
  assertClose(c, result, clean, `a NaN in value ${bad}`);
}

gpuTest(
  "forwardKernel() keeps hidden values out of a row",
  (_, gpu) => check(gpu, CASE, 63),
);

gpuTest(
  "decodeKernel() keeps hidden values out of a row",
  (_, gpu) => check(gpu, { ...CASE, sequences: [[2, 83]] }, 82),
);

gpuTest(
  "standardKernels() keep hidden values out of a row",
  (_, gpu) => check(gpu, { ...CASE, algorithm: "standard" }, 63),
);

gpuTest(
  "flash1Kernel() keeps hidden values out of a row",
  (_, gpu) => check(gpu, { ...CASE, algorithm: "fa1" }, 63),
);

/**
 * Work that takes more iterations of loops than a software adapter lets one
 * invocation take: it must be cut, not cut off.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { planAttention, UnsupportedError } from "../../mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention_cases.ts";
import { checkCase } from "../support/attention_check.ts";
import { runCases } from "../support/attention_runner.ts";
import { gpuTest } from "../support/gpu.ts";

const LONG: AttentionCase = {
  ...PLAIN,
  queryHeads: 1,
  headDim: 16,
  valueHeadDim: 16,
  splits: 1,
};
const MASK = { masks: [{ kind: "batchStride" }] } as const;

gpuTest("forwardKernel() comes to the end of long loops", async (_, gpu) => {
  const cases: AttentionCase[] = [
    { ...LONG, sequences: [[5, 40_000]] },
    { ...LONG, ...MASK, sequences: [[5, 20_000]] },
    { ...LONG, ...MASK, sequences: [[5, 20_000]], score: { softcap: 20 } },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

gpuTest("decodeKernel() comes to the end of long loops", async (_, gpu) => {
  const cases: AttentionCase[] = [
    { ...LONG, headDim: 128, sequences: [[1, 60_000]] },
    { ...LONG, ...MASK, sequences: [[1, 60_000]] },
    {
      ...LONG,
      sequences: [[1, 60_000], [1, 90_000]],
      layout: "ragged",
      splits: "stream-k",
      workers: 1,
    },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

gpuTest("mergeKernel() comes to the end of many states", async (_, gpu) => {
  // 1280 states of 8 rows of 32 vec4s.
  const c: AttentionCase = {
    ...LONG,
    queryHeads: 4,
    sequences: [[2, 10_240]],
    splits: 65535,
    valueHeadDim: 128,
  };
  const [result] = await runCases(gpu, [c]);
  checkCase(c, result);
});

gpuTest(
  "standardKernels() refuse loops that would be cut off",
  async (_, gpu) => {
    const plan = (keys: number) => {
      const tensor = { dtype: "f32", shape: [1, keys, 1, 16] } as const;
      return planAttention(gpu, {
        query: { dtype: "f32", shape: [1, 64, 1, 16] },
        key: tensor,
        value: tensor,
        algorithm: "standard",
      });
    };
    using short = await plan(4096);
    assertEquals(short.explain().dispatches.length, 3);
    try {
      using long = await plan(100_000);
      assert(!gpu.software, long.explain().kernels.standard.splits);
    } catch (error) {
      assert(error instanceof UnsupportedError && gpu.software, String(error));
      assert(error.message.includes("100000 keys"), error.message);
    }
  },
);

gpuTest("standardKernels() come to the end of long loops", async (_, gpu) => {
  const c: AttentionCase = {
    ...LONG,
    algorithm: "standard",
    tiles: "device",
    sequences: [[64, 4000]],
  };
  const [result] = await runCases(gpu, [c]);
  checkCase(c, result);
});

/**
 * The gradients of linear attention are those of its recurrence, by the error
 * rule, however chunks are cut.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { linearBackwardParts } from "../../../../src/ops/linear_attention/backward/parts.ts";
import { linearProblem } from "../../../../src/ops/mod.ts";
import { gpuTest } from "../../../support/gpu.ts";
import {
  assertLinearGradients,
  backwardRunOf,
  linearGradients,
} from "../../../support/linear_backward_check.ts";
import {
  GATE_SIZES,
  LINEAR_HEADS,
  type LinearCase,
  PLAIN_LINEAR,
} from "../../../support/linear_cases.ts";

gpuTest("gradients of every gate, size of chunk and head", async (_, gpu) => {
  const cases: { c: LinearCase; chunk: number; subChunk: number }[] = [];
  const decays = ["channel", "head", "constant_channel", "constant_head"];
  for (const [d, decay] of decays.entries()) {
    GATE_SIZES.forEach((gates, g) => {
      const chunk = [4, 16, 32, 64, 128][(d + g) % 5];
      const subChunk = [4, 8, 16, chunk][g % 4];
      const c = {
        ...PLAIN_LINEAR,
        ...LINEAR_HEADS[(d + g) % LINEAR_HEADS.length],
        seed: g,
        sequences: [70, 70],
        headDim: 8,
        valueHeadDim: 12,
        decay,
        gates,
        ...(d + g) % 3 > 0 && { beta: (d + g) % 3 > 1 ? "one" : "head" },
        initialState: g % 2 === 0,
      } as LinearCase;
      cases.push({
        c,
        chunk,
        subChunk: chunk % subChunk === 0 ? subChunk : chunk,
      });
    });
  }
  const results = await linearGradients(
    gpu,
    cases.map(({ c, ...sizes }) => backwardRunOf(c, sizes)),
  );
  cases.forEach(({ c, chunk }, i) =>
    assertLinearGradients(c, { result: results[i], chunk })
  );
});

gpuTest("gradients are stored as float16", async (_, gpu) => {
  const plain: LinearCase = {
    ...PLAIN_LINEAR,
    dtype: "f16",
    sequences: [40, 40],
    initialState: true,
  };
  const gated = { ...plain, decay: "channel" as const };
  const cases = [plain, { ...gated, beta: "one" as const }];
  const results = await linearGradients(
    gpu,
    cases.map((c) => backwardRunOf(c)),
  );
  cases.forEach((c, i) =>
    assertLinearGradients(c, { result: results[i], chunk: 64 })
  );
}, { features: ["shader-f16"] });

/** Several chunks, beside a sequence of none and one of one token less than a chunk. */
const MIXED: LinearCase = {
  ...PLAIN_LINEAR,
  ...LINEAR_HEADS[3],
  layout: "ragged",
  sequences: [3, 50, 0, 30],
  headDim: 8,
  valueHeadDim: 12,
  decay: "channel",
  gates: "mild",
  initialState: true,
};
const SMALL = { chunk: 4, subChunk: 4 };
/** Without a state to begin with, as its scan binds one buffer more. */
const DELTA: LinearCase = { ...MIXED, beta: "head", initialState: false };

gpuTest("no gradient flows into last states by default", async (_, gpu) => {
  const { options, upstream: { outputGradient } } = backwardRunOf(MIXED);
  const [result] = await linearGradients(gpu, [
    { options, upstream: { outputGradient } },
  ]);
  assertLinearGradients(MIXED, { result, chunk: 64, stateGradient: false });
});

for (const c of [MIXED, DELTA]) {
  const rule = c.beta ? "by a delta rule" : "of gates";
  gpuTest(
    `neither segments nor tiles nor mates change a bit of gradients ${rule}`,
    async (_, gpu) => {
      const {
        maxComputeWorkgroupsPerDimension,
        maxStorageBuffersPerShaderStage,
      } = gpu.limits;
      // States of a chunk take 2 heads x 8 rows x 3 vec4s = 768 bytes.
      const small = (chunks: number) => ({
        limits: {
          maxComputeWorkgroupsPerDimension,
          maxStorageBuffersPerShaderStage,
          maxStorageBufferBindingSize: 768 * chunks,
        },
      });
      const of = (own: LinearCase) => {
        const { options, upstream } = backwardRunOf(own, SMALL);
        const { stateGradient, ...output } = upstream;
        return {
          options,
          upstream: { ...output, ...c.initialState && { stateGradient } },
        };
      };
      const run = of(c);
      // Another length of the first sequence is another place of all others.
      const mates = { ...c, sequences: [31, ...c.sequences.slice(1)] };
      const [one, again, other, few, some, last] = await linearGradients(gpu, [
        run,
        run,
        // Other tiles, whose kernels take long to compile: once.
        c.beta ? run : { ...run, device: { software: !gpu.software } },
        { ...run, device: small(5) },
        { ...run, device: small(20) },
        of(mates),
      ]);
      assertLinearGradients(c, {
        result: one,
        chunk: 4,
        stateGradient: c.initialState!,
      });
      for (const result of [again, other, few, some]) assertEquals(result, one);
      const { queryHeads, keyHeads, valueHeads, headDim, valueHeadDim } = c;
      const widths = {
        query: queryHeads * headDim,
        key: keyHeads * headDim,
        value: valueHeads * valueHeadDim,
        decay: valueHeads * headDim,
        ...c.beta && { beta: valueHeads },
      };
      for (const [name, width] of Object.entries(widths)) {
        const from = ({ [name as "query"]: all }: typeof one, first: number) =>
          all!.subarray(first * width);
        assertEquals(from(last, 31), from(one, 3), name);
      }
      if (c.initialState) {
        const state = valueHeads * headDim * valueHeadDim;
        assertEquals(
          last.initialState!.subarray(state),
          one.initialState!.subarray(state),
        );
      }
      const { explanation } = linearBackwardParts(
        {
          problem: linearProblem(run.options),
          stateGradient: c.initialState!,
        },
        { software: false, ...small(5) },
      );
      assertEquals(explanation.segments > 5, true);
    },
  );
}

/**
 * Linear attention by chunks is its recurrence, within the bound that follows
 * from the problem, however chunks are cut.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { linearProblem } from "../../../src/ops/mod.ts";
import { linearParts } from "../../../src/ops/linear_attention/parts.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  assertLinear,
  assertSameBits,
  assertSameResult,
  chunkedOptionsOf,
  linearResults,
} from "../../support/linear_check.ts";
import {
  LINEAR_HEADS,
  type LinearCase,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";

gpuTest("chunks and sub-chunks may have any size", async (_, gpu) => {
  const cases: { c: LinearCase; chunk: number; subChunk: number }[] = [];
  (["mild", "extreme", "mixed"] as const).forEach((gates, seed) => {
    for (const chunk of [4, 12, 16, 64, 256]) {
      for (const subChunk of new Set([4, 8, 16, chunk])) {
        if (chunk % subChunk !== 0) continue;
        const c: LinearCase = {
          ...PLAIN_LINEAR,
          ...LINEAR_HEADS[2 + seed],
          seed,
          sequences: [38],
          headDim: 8,
          valueHeadDim: 8,
          decay: "channel",
          gates,
          initialState: true,
        };
        cases.push({ c, chunk, subChunk });
      }
    }
  });
  const results = await linearResults(
    gpu,
    cases.map(({ c, ...sizes }) => ({ options: chunkedOptionsOf(c, sizes) })),
  );
  cases.forEach(({ c, chunk }, i) =>
    assertLinear(c, { result: results[i], chunk })
  );
});

gpuTest("linearAttention() stores float16", async (_, gpu) => {
  const plain: LinearCase = {
    ...PLAIN_LINEAR,
    dtype: "f16",
    sequences: [50, 50],
    initialState: true,
  };
  const delta = { ...plain, decay: "head", beta: "head" } as const;
  const cases: LinearCase[] = [plain, { ...plain, decay: "channel" }, delta];
  const short: LinearCase = { ...delta, sequences: [9, 9] };
  const results = await linearResults(gpu, [
    ...cases.map((c) => ({ options: chunkedOptionsOf(c) })),
    { options: chunkedOptionsOf(short, { form: "recurrent" }) },
  ]);
  [...cases, short].forEach((c, i) =>
    assertLinear(c, { result: results[i], chunk: 64 })
  );
}, { features: ["shader-f16"] });

/** Long enough for blocks of 32 chunks of 4 tokens, beside a short one. */
const LONG: LinearCase = {
  ...PLAIN_LINEAR,
  ...LINEAR_HEADS[3],
  layout: "ragged",
  sequences: [3, 701, 90, 515],
  headDim: 8,
  valueHeadDim: 12,
  decay: "channel",
  gates: "mild",
  initialState: true,
};
const SMALL = { chunk: 4, subChunk: 4 };

gpuTest("long sequences are scanned in blocks", async (_, gpu) => {
  const { decay: _decay, gates: _gates, ...plain } = LONG;
  const cases = [LONG, { ...LONG, decay: "head" as const }, plain];
  const results = await linearResults(
    gpu,
    cases.map((c) => ({ options: chunkedOptionsOf(c, SMALL) })),
  );
  cases.forEach((c, i) => assertLinear(c, { result: results[i], chunk: 4 }));
  const { explanation } = linearParts(
    linearProblem(chunkedOptionsOf(LONG, SMALL)),
    gpu,
  );
  assertEquals(explanation.scan, "blocks");
});

gpuTest(
  "neither segments nor tiles nor mates change a bit",
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
    const options = chunkedOptionsOf(LONG, SMALL);
    // Another length of the first sequence is another place of all others.
    const mates = chunkedOptionsOf(
      { ...LONG, sequences: [31, ...LONG.sequences.slice(1)] },
      SMALL,
    );
    const runs = [
      {},
      {},
      { device: { software: !gpu.software } },
      { device: small(33) },
      { device: small(100) },
    ].map((own) => ({ options, ...own }));
    // A short one is cut where room ends.
    const cut = chunkedOptionsOf({ ...LONG, sequences: [3, 210, 90] }, SMALL);
    const [one, ...others] = await linearResults(gpu, [
      ...runs,
      { options: cut },
      { options: cut, device: small(10) },
      { options: mates },
    ]);
    const [whole, parts, last] = others.splice(-3);
    for (const other of others) assertSameResult(other, one);
    assertSameResult(parts, whole);
    const row = 4 * LONG.valueHeadDim;
    assertSameBits(
      last.output.subarray(31 * row),
      one.output.subarray(3 * row),
    );
    const state = one.state.length / LONG.sequences.length;
    assertSameBits(last.state.subarray(state), one.state.subarray(state));
    const { explanation } = linearParts(linearProblem(options), {
      software: false,
      ...small(33),
    });
    assertEquals(explanation.segments > 5, true);
  },
);

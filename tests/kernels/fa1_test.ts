import { assert, assertEquals, assertThrows } from "@std/assert";
import { UnsupportedError } from "../../src/core/errors.ts";
import type { PlanDevice } from "../../src/ops/attention/variants/variant.ts";
import { capture, scoreMod } from "../../src/mods/mod.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import {
  assertClose,
  assertSameBits,
  checkCase,
} from "../support/attention/check.ts";
import { partsFor } from "../support/attention/parts.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import { planDevice } from "../support/plan_device.ts";

const DEVICE = planDevice({ features: ["shader-f16"] });

/** Tiles that end in the middle of rows, keys, heads and vec4s. */
const TAIL: AttentionCase = {
  ...PLAIN,
  layout: "paged",
  blockSize: 5,
  sequences: [[40, 83], [33, 20], [1, 16], [37, 1], [35, 0], [100, 39]],
  queryHeads: 6,
  kvHeads: 2,
  headDim: 7,
  valueHeadDim: 23,
  causal: true,
  algorithm: "fa1",
};

gpuTest("flash1Kernel() handles tails in every dimension", async (_, gpu) => {
  const cases: AttentionCase[] = [
    TAIL,
    { ...TAIL, queryOffset: -50 },
    { ...TAIL, distribution: "large" },
    { ...TAIL, window: { left: 9, right: 3 } },
    { ...TAIL, lse: false },
    { ...TAIL, layout: "dense", sequences: [[40, 83], [40, 20]], padding: 7 },
    { ...TAIL, layout: "ragged", score: { softcap: 30, alibi: true } },
    { ...TAIL, headDim: 64, valueHeadDim: 256, sequences: [[20, 50]] },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((it, i) => checkCase(it, results[i]));
});

gpuTest("flash1Kernel() is what the fused kernels are", async (_, gpu) => {
  const cases: AttentionCase[] = [TAIL, { ...TAIL, queryOffset: -50 }];
  const results = await runCases(gpu, cases);
  const fused = await runCases(
    gpu,
    cases.map(({ algorithm: _, ...c }) => c),
  );
  cases.forEach((c, i) => assertClose(c, results[i], fused[i], "fused"));
});

gpuTest("flash1Kernel() reads no byte that nobody wrote", async (_, gpu) => {
  const [nan] = await runCases(gpu, [TAIL]);
  const [huge] = await runCases(gpu, [TAIL], { poison: 1e30 });
  assertSameBits(huge, nan, "poison 1e30");
});

gpuTest(
  "flash1Algorithm() has a workgroup a kv head of a sequence",
  async (_, gpu) => {
    const c: AttentionCase = { ...TAIL, sequences: [[100, 83], [9, 20]] };
    const [{ explanation }] = await runCases(gpu, [c]);
    const [{ grid, tile }, ...more] = explanation.dispatches;
    assertEquals(more, []);
    assertEquals(grid, [2, 2, 1]);
    assertEquals(tile, { rows: 16, keys: 8 });
    assertEquals(explanation.kernels.fa1.tile, tile);
    // m and l, of 109 tokens and 6 heads.
    assertEquals(explanation.scratchBytes, 8 * 109 * 6);
  },
);

gpuTest(
  "flash1Tile() keeps keys and values in workgroup memory",
  async (_, gpu) => {
    // At this head dim not even the smallest step of the table fits.
    const c: AttentionCase = {
      ...PLAIN,
      sequences: [[9, 21]],
      headDim: 256,
      valueHeadDim: 256,
      algorithm: "fa1",
      tiles: "device",
    };
    const [result] = await runCases(gpu, [c]);
    const { keys } = result.explanation.kernels.fa1.tile;
    assert(keys * 512 * 4 <= gpu.limits.maxComputeWorkgroupStorageSize);
    checkCase(c, result);
  },
);

gpuTest("flash1Algorithm() counts m and l among its buffers", (_, gpu) => {
  const made = [1, 2].map(() => gpu.tensor(new Float32Array(9), [9]));
  try {
    const [a, b] = made.map((tensor) => capture(tensor));
    const tensor = { dtype: "f32", shape: [1, 9, 1, 16] } as const;
    const problem = attentionProblem({
      query: tensor,
      key: tensor,
      value: tensor,
      scoreMod: scoreMod(
        "two",
        ({ score, key }) => score.add(a.at(key)).add(b.at(key)),
      ),
    });
    const placements = (["fused", "fa1"] as const).map((algorithm) =>
      partsFor(problem, DEVICE, { algorithm }).explanation.captures
        .map(({ placement }) => placement)
    );
    assertEquals(placements, [["bound", "bound"], ["gathered", "gathered"]]);
  } finally {
    made.forEach((tensor) => tensor.destroy());
  }
});

Deno.test("flash1Algorithm() refuses f16, and loops that would be cut off", () => {
  const plan = (
    dtype: "f32" | "f16",
    rows: number,
    limits: Partial<PlanDevice>,
  ) => {
    const tensor = { dtype, shape: [1, rows, 1, 16] } as const;
    const problem = attentionProblem({
      query: tensor,
      key: tensor,
      value: tensor,
    });
    return partsFor(problem, { ...DEVICE, ...limits }, {
      algorithm: "fa1",
    });
  };
  assertEquals(plan("f32", 4096, {}).parts.dispatches.length, 1);
  assertThrows(
    () => plan("f16", 64, {}),
    UnsupportedError,
    "would round it each time; use f32, or the fused algorithm",
  );
  assertThrows(
    () => plan("f32", 4096, { maxLoopIterations: 65535 }),
    UnsupportedError,
    "over 4096 rows and 4096 keys",
  );
  // Many rows and many keys, but no sequence has both.
  const ragged = (cuSeqlens: number[], cuSeqlensKey: number[]) => {
    const of = (tokens: number) =>
      ({ dtype: "f32", shape: [tokens, 1, 16] }) as const;
    const key = of(cuSeqlensKey.at(-1)!);
    return partsFor(
      attentionProblem({
        query: of(cuSeqlens.at(-1)!),
        key,
        value: key,
        cuSeqlens,
        cuSeqlensKey,
      }),
      { ...DEVICE, maxLoopIterations: 65535 },
      { algorithm: "fa1" },
    );
  };
  ragged([0, 4096, 4097], [0, 1, 4097]);
  assertThrows(
    () => ragged([0, 1, 4097], [0, 1, 4097]),
    UnsupportedError,
    "over 4096 rows and 4096 keys",
  );
  const limits = { ...DEVICE.limits, maxComputeWorkgroupStorageSize: 1024 };
  assertThrows(
    () =>
      plan("f32", 64, {
        limits: { ...limits, maxComputeWorkgroupStorageSize: 64 },
      }),
    UnsupportedError,
    "make a forward tile",
  );
  const { explanation } = plan("f32", 64, { limits });
  assertEquals(explanation.kernels.fa1.tile.keys, 8);
});

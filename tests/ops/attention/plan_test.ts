/**
 * Plans: used again, updated, refused, explained, destroyed.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  attention,
  type AttentionPlan,
  type AttentionProblem,
  attentionProblem,
  type AttentionTensors,
  DeviceLostError,
  type Gpu,
  planAttention,
} from "../../../mod.ts";
import type { HostArray } from "../../../src/gpu/mod.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { type DeviceTensors, HEADS, inputs, live, upload } from "./tensors.ts";

const SMALL = inputs({ batch: 2, queries: 3, keys: 40 });
const CAUSAL = { ...SMALL, causal: true } as const;

/** Runs a plan once and reads the output. */
async function run(
  gpu: Gpu,
  plan: AttentionPlan,
  tensors: AttentionTensors,
): Promise<HostArray> {
  gpu.submit("test", (encoder) => plan.encode(encoder, tensors));
  return await gpu.readOne(tensors.output);
}

gpuTest("planAttention() runs what attention() runs", async (_, gpu) => {
  const { output } = await attention(gpu, CAUSAL);
  using plan = await planAttention(gpu, CAUSAL);
  using tensors = upload(gpu, SMALL);
  assertEquals(await run(gpu, plan, tensors), output.data);
});

gpuTest("AttentionPlan serves several layers and steps", async (_, gpu) => {
  const other = inputs({ batch: 2, queries: 3, keys: 40 }, 9);
  using plan = await planAttention(gpu, CAUSAL);
  const compiled = gpu.stats.pipelines;
  using layer0 = upload(gpu, SMALL);
  using layer1 = upload(gpu, other);
  const expected = [
    (await attention(gpu, CAUSAL)).output.data,
    (await attention(gpu, { ...other, causal: true })).output.data,
  ];
  for (let step = 0; step < 2; step++) {
    gpu.submit("layers", (encoder) => {
      plan.encode(encoder, layer0);
      plan.encode(encoder, layer1);
    });
    const read = await gpu.read([layer0.output, layer1.output]);
    assertEquals(read as unknown[], expected);
  }
  assertEquals(gpu.stats.pipelines, compiled);
});

gpuTest("AttentionPlan.update() takes other lengths", async (_, gpu) => {
  using tensors = upload(gpu, SMALL);
  using plan = await planAttention(gpu, CAUSAL);
  const compiled = gpu.stats.pipelines;
  const before = live(gpu);
  for (const keyLengths of [[1, 40], [0, 3], [40, 40]]) {
    const options = { ...CAUSAL, keyLengths };
    await plan.update(attentionProblem(options));
    assertEquals(plan.problem.sequences.map((s) => s.keyCount), keyLengths);
    const { output } = await attention(gpu, options);
    assertEquals(await run(gpu, plan, tensors), output.data);
  }
  assertEquals(gpu.stats.pipelines, compiled);
  assertEquals(live(gpu).buffers, before.buffers);
});

gpuTest("AttentionPlan.update() takes other mods", async (_, gpu) => {
  using tensors = upload(gpu, SMALL);
  using plan = await planAttention(gpu, CAUSAL);
  const options = { ...SMALL, alibi: true } as const;
  await plan.update(attentionProblem(options));
  const { output } = await attention(gpu, options);
  assertEquals(await run(gpu, plan, tensors), output.data);
});

gpuTest(
  "AttentionPlan.update() leaves the plan as it was where it fails",
  async (_, gpu) => {
    using tensors = upload(gpu, SMALL);
    using plan = await planAttention(gpu, CAUSAL);
    const expected = await run(gpu, plan, tensors);
    const { problem } = plan;
    const explained = plan.explain();
    const before = live(gpu);
    const bad: AttentionProblem = {
      ...problem,
      sequences: problem.sequences.map((sequence) => ({
        ...sequence,
        queryOffset: 2 ** 31,
      })),
    };
    await assertRejects(() => plan.update(bad), RangeError, "sequence 0");
    // Fails late: the schedule is written, but the scratch is too large.
    const keys = 2 ** 14;
    const huge = attentionProblem({
      query: { dtype: "f32", shape: [1, 2 ** 17, 1, 1] },
      key: { dtype: "f32", shape: [1, keys, 1, 1] },
      value: { dtype: "f32", shape: [1, keys, 1, 1] },
    });
    using standard = await planAttention(gpu, {
      ...CAUSAL,
      algorithm: "standard",
    });
    await assertRejects(() => standard.update(huge), RangeError, "scratch");
    standard.destroy();
    assertEquals(plan.problem, problem);
    assertEquals(plan.explain(), explained);
    assertEquals(live(gpu), before);
    tensors.output.write(new Float32Array(tensors.output.size));
    assertEquals(await run(gpu, plan, tensors), expected);
  },
);

gpuTest(
  "AttentionPlan keeps to its problem while an update is on its way",
  async (_, gpu) => {
    using tensors = upload(gpu, SMALL);
    using plan = await planAttention(gpu, CAUSAL);
    const next = inputs({ batch: 1, queries: 2, keys: 7 }, 5);
    using later = upload(gpu, next);
    const update = plan.update(attentionProblem(next));
    const during = run(gpu, plan, tensors);
    await update;
    assertEquals(await during, (await attention(gpu, CAUSAL)).output.data);
    const { output } = await attention(gpu, next);
    assertEquals(await run(gpu, plan, later), output.data);
  },
);

gpuTest(
  "AttentionPlan.update() of a plan destroyed meanwhile leaks nothing",
  async (_, gpu) => {
    const before = live(gpu);
    const plan = await planAttention(gpu, CAUSAL);
    const update = plan.update(attentionProblem(SMALL));
    plan.destroy();
    await assertRejects(() => update, TypeError, "plan must not be destroyed");
    assertEquals(live(gpu), before);
  },
);

gpuTest("AttentionPlan.explain() says what will run", async (_, gpu) => {
  const mixed = inputs({ batch: 1, queries: 40, keys: 40 });
  using forward = await planAttention(gpu, { ...mixed, causal: true });
  const { dispatches, kernels, tileCounts, scratchBytes } = forward.explain();
  assertEquals(Object.keys(kernels), ["forward"]);
  assertEquals(kernels.forward.profile, "portable");
  assertEquals(kernels.forward.passedOver.map(({ variant }) => variant), [
    "decode",
  ]);
  const rows = 40 * HEADS.queryHeads / HEADS.kvHeads;
  assert(kernels.forward.passedOver[0].why.includes(`here are ${rows}`));
  assertEquals(dispatches.length, 1);
  assert(dispatches[0].kernel.includes("forward"));
  assertEquals(dispatches[0].grid[1], HEADS.kvHeads);
  assertEquals(dispatches[0].tile, kernels.forward.tile);
  const { tile } = kernels.forward;
  assert(dispatches[0].kernel.endsWith(`.${tile.rows}x${tile.keys}`));
  assert(kernels.forward.splits.length > 0);
  assertGreater(tileCounts.total, tileCounts.visited);
  assertGreater(tileCounts.visited, tileCounts.full);
  assertEquals(scratchBytes, 0);

  const step = inputs({ batch: 2, queries: 1, keys: 200 });
  using split = await planAttention(gpu, { ...step, splits: 3 });
  const explained = split.explain();
  assertEquals(explained.dispatches.length, 2);
  assert(explained.dispatches[0].kernel.includes("decode"));
  assertEquals(explained.dispatches[0].tile, explained.kernels.decode.tile);
  assert(explained.dispatches[1].kernel.includes("merge"));
  assertEquals(explained.dispatches[1].tile, undefined);
  assert(explained.kernels.decode.splits.includes("3"));
  assertEquals(explained.kernels.decode.passedOver, []);
  assertGreater(explained.scratchBytes, 0);

  using standard = await planAttention(gpu, {
    ...SMALL,
    algorithm: "standard",
  });
  assertEquals(
    standard.explain().dispatches.map(({ tile }) => tile),
    new Array(3).fill(standard.explain().kernels.standard.tile),
  );
  // A score for each row of a tile, head and key at least.
  const scores = 4 * 2 * 3 * HEADS.queryHeads * 40;
  assertGreater(standard.explain().scratchBytes, scores - 1);
});

gpuTest(
  "AttentionPlan.explain() has the costs of what it chose from",
  async (_, gpu) => {
    const step = inputs({ batch: 3, queries: 1, keys: 900 });
    using fixed = await planAttention(gpu, { ...step, invariant: true });
    assertEquals(fixed.explain().kernels.decode.costs, []);
    using plan = await planAttention(gpu, {
      ...step,
      invariant: false,
      workers: 12,
    });
    const { kernels: { decode: { costs, splits } }, dispatches } = plan
      .explain();
    const ways = costs.map((cost) => cost.splits);
    assertEquals([ways[0], ways.at(-1)], [
      "unsplit",
      "stream-k over 12 workers",
    ]);
    const total = (text: string) => {
      const found = costs.find((cost) => cost.splits === text)!;
      return found.makespan + found.merge;
    };
    for (const cost of costs) {
      assert(total(splits) <= total(cost.splits), cost.splits);
      assertGreater(cost.workgroups, 0);
    }
    using forced = await planAttention(gpu, {
      ...step,
      splits: "stream-k",
      workers: 5,
    });
    const { dispatches: [decode, merge] } = forced.explain();
    assertEquals(decode.grid, [5, 1, 1]);
    assert(decode.kernel.endsWith(".persistent"));
    assert(merge.kernel.includes("merge"));
    assertGreater(dispatches.length, 0);
  },
);

gpuTest(
  "AttentionPlan with nothing to do dispatches nothing",
  async (_, gpu) => {
    const none = inputs({ batch: 2, queries: 0, keys: 5 });
    using plan = await planAttention(gpu, none);
    assertEquals(plan.explain().dispatches, []);
    using tensors = upload(gpu, none);
    assertEquals(await run(gpu, plan, tensors), new Float32Array(0));
  },
);

gpuTest("AttentionPlan.destroy() frees all, once", async (_, gpu) => {
  const before = live(gpu);
  using tensors = upload(gpu, SMALL);
  const held = live(gpu);
  const plan = await planAttention(gpu, { ...CAUSAL, alibi: true, splits: 2 });
  const { scratchBytes } = plan.explain();
  assertGreater(live(gpu).bytes, held.bytes + scratchBytes);
  plan.destroy();
  plan.destroy();
  plan[Symbol.dispose]();
  assertEquals(live(gpu), held);
  const encoder = gpu.device.createCommandEncoder();
  assertThrows(
    () => plan.encode(encoder, tensors),
    TypeError,
    "plan must not be destroyed",
  );
  await assertRejects(
    () => plan.update(attentionProblem(CAUSAL)),
    TypeError,
    "plan must not be destroyed",
  );
  encoder.finish();
  tensors[Symbol.dispose]();
  assertEquals(live(gpu), before);
});

gpuTest(
  "AttentionPlan.encode() refuses tensors that do not fit",
  async (_, gpu) => {
    using plan = await planAttention(gpu, { ...CAUSAL, returnLse: true });
    using tensors = upload(gpu, SMALL);
    using short = gpu.empty("f32", [7]);
    using gone = gpu.empty("f32", SMALL.query.shape);
    gone.destroy();
    using integers = gpu.empty("u32", SMALL.query.shape);
    using other = await ownGpu();
    const foreign = other.empty("f32", SMALL.query.shape);
    const [a, b, count] = [tensors.query, tensors.key, tensors.query.size];
    const wrapped = gpu.wrap(a.buffer, "f32", a.shape);
    const cases: [Partial<Record<keyof DeviceTensors, unknown>>, string][] = [
      [{ query: undefined }, "query must be given"],
      [{ key: undefined }, "key must be given"],
      [{ value: undefined }, "value must be given"],
      [{ output: undefined }, "output must be given"],
      [{ lse: undefined }, "lse must be given"],
      [
        { query: short },
        `query must have ${count} elements: current value is 7`,
      ],
      [{ key: short }, `key must have ${b.size} elements`],
      [{ value: short }, "value must have"],
      [{ output: short }, "output must have"],
      [{ lse: short }, "lse must have"],
      [{ query: integers }, "query must be f32: current value is"],
      [{ output: integers }, "output must be f32"],
      [{ query: gone }, "destroyed"],
      [{ output: gone }, "destroyed"],
      [{ query: foreign }, "query must be of the plan's Gpu"],
      [{ output: foreign }, "output must be of the plan's Gpu"],
      [{ output: a }, "output must not share a buffer with query"],
      [{ output: wrapped }, "output must not share a buffer with query"],
    ];
    const before = live(gpu);
    for (const [change, message] of cases) {
      const encoder = gpu.device.createCommandEncoder();
      const given = { ...tensors, ...change } as unknown as AttentionTensors;
      assertThrows(() => plan.encode(encoder, given), TypeError, message);
      // Nothing was recorded, so the encoder is still good.
      gpu.queue.submit([encoder.finish()]);
    }
    assertEquals(live(gpu), before);
    await run(gpu, plan, tensors);
  },
);

gpuTest("planAttention() refuses choices that do not exist", async (_, gpu) => {
  const before = live(gpu);
  const cases: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ algorithm: "flash" }, TypeError, 'algorithm must be "fused"'],
    [{ splits: "many" }, TypeError, "splits must be"],
    [{ splits: 0 }, RangeError, "splits must be an integer in 1..65535"],
    [{ splits: -1 }, RangeError, "-1"],
    [{ splits: 1.5 }, RangeError, "1.5"],
    [{ splits: NaN }, RangeError, "NaN"],
    [{ splits: 65536 }, RangeError, "65536"],
    [{ invariant: 1 }, TypeError, "invariant must be a boolean"],
    [{ sharedPrefix: true }, TypeError, 'sharedPrefix must be "auto" or'],
    [{ workers: 0 }, RangeError, "workers must be an integer in 1..65535"],
    [{ workers: "all" }, TypeError, "workers"],
    [{ invariant: true, splits: 2 }, TypeError, 'splits must be "fixed" for'],
    [
      { invariant: true, sharedPrefix: "auto" },
      TypeError,
      'sharedPrefix must be "never" for',
    ],
  ];
  for (const [choice, ErrorClass, message] of cases) {
    await assertRejects(
      () => planAttention(gpu, { ...CAUSAL, ...choice }),
      ErrorClass,
      message,
    );
  }
  await assertRejects(
    () => planAttention({} as Gpu, CAUSAL),
    TypeError,
    "gpu must be a Gpu",
  );
  assertEquals(live(gpu), before);
});

gpuTest(
  "planAttention() refuses sizes past u32 and past a binding, at no cost",
  async (_, gpu) => {
    const f32 = (...shape: number[]) => ({ dtype: "f32", shape } as const);
    const before = live(gpu);
    const key = f32(1, 1, 1, 8);
    await assertRejects(
      () =>
        planAttention(gpu, { query: f32(1, 2 ** 30, 1, 8), key, value: key }),
      RangeError,
      "query must have < 2^32 elements: current value is 8589934592",
    );
    const limit = gpu.limits.maxStorageBufferBindingSize;
    const rows = Math.floor(limit / 32) + 1;
    await assertRejects(
      () => planAttention(gpu, { query: f32(1, rows, 1, 8), key, value: key }),
      RangeError,
      "query must fit one binding",
    );
    assertEquals(live(gpu), before);
  },
);

gpuTest("AttentionPlan takes a batch of 150000 sequences", async (_, gpu) => {
  const f32 = (...shape: number[]) => ({ dtype: "f32", shape } as const);
  const batch = 150_000;
  using plan = await planAttention(gpu, {
    query: f32(batch, 1, 1, 8),
    key: f32(batch, 1, 1, 8),
    value: f32(batch, 1, 1, 8),
  });
  const [x, y, z] = plan.explain().dispatches[0].grid;
  assertEquals(y, 1);
  assertGreater(x * z, batch - 1);
});

gpuTest("AttentionPlan rejects with DeviceLostError once lost", async () => {
  using gpu = await ownGpu();
  const plan = await planAttention(gpu, SMALL);
  const tensors = upload(gpu, SMALL);
  const encoder = gpu.device.createCommandEncoder();
  gpu.device.destroy();
  await gpu.device.lost;
  await Promise.resolve();
  assertThrows(() => plan.encode(encoder, tensors), DeviceLostError);
  await assertRejects(
    () => plan.update(attentionProblem(SMALL)),
    DeviceLostError,
  );
  await assertRejects(() => planAttention(gpu, SMALL), DeviceLostError);
  await assertRejects(() => attention(gpu, SMALL), DeviceLostError);
  plan.destroy();
});

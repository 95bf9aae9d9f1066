/**
 * One-shot attention: hosts and devices in any mixture, and every refusal
 * before anything is dispatched, with nothing left behind.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import {
  attention,
  type AttentionOptions,
  type AttentionRunOptions,
  BlockTable,
  DeviceLostError,
  EMPTY_LSE,
  type Gpu,
  GpuTensor,
  type HostTensor,
  KvCache,
  openGpu,
  UnsupportedError,
} from "../../../mod.ts";
import { gpuTest, ownGpu, webgpu } from "../../support/gpu.ts";
import { HEADS, inputs, live, random, upload } from "./tensors.ts";

const SMALL = inputs({ batch: 2, queries: 3, keys: 40 });
const SHAPE = { kvHeads: HEADS.kvHeads, headDim: HEADS.headDim };

type Call = AttentionOptions & AttentionRunOptions;

gpuTest("attention() of host arrays leaves nothing behind", async (_, gpu) => {
  const before = live(gpu);
  const { output, lse } = await attention(gpu, { ...SMALL, returnLse: true });
  assertInstanceOf(output.data, Float32Array);
  assertEquals(output.shape, SMALL.query.shape);
  assertEquals(lse?.shape, SMALL.query.shape.slice(0, -1));
  assertEquals(live(gpu), before);
});

gpuTest("attention() answers where the query is", async (_, gpu) => {
  const expected = await attention(gpu, { ...SMALL, returnLse: true });
  using tensors = upload(gpu, SMALL);
  const { query, key, value } = tensors;
  const before = live(gpu);
  const mixtures: Call[] = [
    { query, key, value },
    { query, key: SMALL.key, value: SMALL.value },
    { query: SMALL.query, key, value },
    { query: SMALL.query, key, value: SMALL.value },
    { query, key: SMALL.key, value },
  ];
  for (const mixture of mixtures) {
    const { output, lse } = await attention(gpu, {
      ...mixture,
      returnLse: true,
    });
    if (mixture.query instanceof GpuTensor) {
      assertInstanceOf(output, GpuTensor);
      assertInstanceOf(lse, GpuTensor);
      assertEquals(live(gpu).buffers, before.buffers + 2);
      const [o, l] = await gpu.read([output, lse]);
      assertEquals(o, expected.output.data);
      assertEquals(l, expected.lse!.data);
      output.destroy();
      lse.destroy();
    } else {
      assertEquals(output, expected.output);
      assertEquals(lse, expected.lse!);
    }
    assertEquals(live(gpu), before);
  }
});

gpuTest(
  "attention() gives a row without keys 0 and -Infinity",
  async (_, gpu) => {
    const options = { ...SMALL, keyLengths: [0, 40], returnLse: true } as const;
    const { output, lse } = await attention(gpu, options);
    const rows = 3 * HEADS.queryHeads;
    assert(output.data.subarray(0, rows * HEADS.headDim).every((x) => x === 0));
    assert(lse!.data.subarray(0, rows).every((x) => x === -Infinity));
    assert(lse!.data.subarray(rows).every(Number.isFinite));
    using tensors = upload(gpu, SMALL);
    const device = await attention(gpu, { ...options, query: tensors.query });
    const [read] = await gpu.read([device.lse as GpuTensor]);
    assert(read.subarray(0, rows).every((x) => x === EMPTY_LSE));
    (device.output as GpuTensor).destroy();
    (device.lse as GpuTensor).destroy();
  },
);

gpuTest("attention() keeps a NaN within its row", async (_, gpu) => {
  const clean = await attention(gpu, SMALL);
  const { headDim, queryHeads } = HEADS;
  const spoiled = SMALL.query.data.slice();
  spoiled[5 * headDim] = NaN;
  spoiled[9 * headDim] = Infinity;
  const { output } = await attention(gpu, {
    ...SMALL,
    query: { data: spoiled, shape: SMALL.query.shape },
  });
  for (let row = 0; row < 2 * 3 * queryHeads; row++) {
    if (row === 5 || row === 9) continue;
    const span = [row * headDim, (row + 1) * headDim];
    assertEquals(output.data.slice(...span), clean.output.data.slice(...span));
  }
});

gpuTest(
  "attention() refuses bad calls and leaves nothing behind",
  async (t, gpu) => {
    using tensors = upload(gpu, SMALL);
    using gone = gpu.empty("f32", SMALL.key.shape);
    gone.destroy();
    using words = gpu.empty("u32", SMALL.key.shape);
    using other = await ownGpu();
    const foreign = upload(other, SMALL);
    using cache = await KvCache.create(gpu, { ...SHAPE, numBlocks: 8 });
    using strange = await KvCache.create(gpu, { ...SHAPE, numBlocks: 8 });
    using dead = await KvCache.create(gpu, { ...SHAPE, numBlocks: 8 });
    dead.destroy();
    const distant = await KvCache.create(other, { ...SHAPE, numBlocks: 8 });
    const query = random([1, 1, HEADS.queryHeads, HEADS.headDim], 3);
    const one = cache.createSequence();
    const freed = cache.createSequence();
    freed.free();
    const aborted = AbortSignal.abort(new Error("enough"));
    const cases: [string, object, { new (...args: never[]): Error }, string][] =
      [
        ["a destroyed key", { ...SMALL, key: gone }, TypeError, "destroyed"],
        ["a key of integers", { ...SMALL, key: words }, TypeError, "key.dtype"],
        [
          "a query of another device",
          { query: foreign.query, key: tensors.key, value: tensors.value },
          TypeError,
          "query must be of the plan's Gpu",
        ],
        [
          "a value of another device",
          { ...SMALL, value: foreign.value },
          TypeError,
          "value must be of the plan's Gpu",
        ],
        [
          "scale NaN",
          { ...SMALL, scale: NaN },
          RangeError,
          "scale must be finite",
        ],
        ["splits 0", { ...SMALL, splits: 0 }, RangeError, "splits"],
        ["an aborted signal", { ...SMALL, signal: aborted }, Error, "enough"],
        ["a cache and no sequences", { query, cache }, TypeError, "sequences"],
        [
          "a cache and a key",
          { ...SMALL, query, cache, sequences: [one] },
          TypeError,
          "key must not be given with cache",
        ],
        [
          "too few sequences",
          { query, cache, sequences: [] },
          TypeError,
          "sequences.length must be the query's number of sequences (1)",
        ],
        [
          "a sequence of another cache",
          { query, cache, sequences: [strange.createSequence()] },
          TypeError,
          "sequences[0] must be a sequence of the cache",
        ],
        [
          "what is no sequence",
          { query, cache, sequences: [null] },
          TypeError,
          "sequences[0]",
        ],
        [
          "a freed sequence",
          { query, cache, sequences: [freed] },
          TypeError,
          "freed",
        ],
        [
          "a layer too many",
          { query, cache, sequences: [one], layer: 1 },
          RangeError,
          "layer must be an integer in 0..0",
        ],
        [
          "a destroyed cache",
          { query, cache: dead, sequences: [newTable(dead)] },
          TypeError,
          "cache must not be destroyed",
        ],
        [
          "a cache of another device",
          { query, cache: distant, sequences: [distant.createSequence()] },
          TypeError,
          "another device",
        ],
        [
          "a cache of other heads",
          {
            query: random([1, 1, 3, HEADS.headDim], 3),
            cache,
            sequences: [one],
          },
          RangeError,
          "queryHeads must be a multiple of kvHeads (2)",
        ],
        [
          "a cache of another head dim",
          { query: random([1, 1, 4, 4], 3), cache, sequences: [one] },
          TypeError,
          "headDim",
        ],
        [
          "a cache of another dtype",
          {
            query: { data: new Float16Array(32), shape: [1, 1, 4, 8] },
            cache,
            sequences: [one],
          },
          TypeError,
          "query.dtype must be the cache's (f32)",
        ],
      ];
    for (const [what, options, ErrorClass, message] of cases) {
      await t.step(what, async () => {
        const before = [live(gpu), live(other), cache.pool.freeBlocks];
        await assertRejects(
          () => attention(gpu, options as Call),
          ErrorClass as never,
          message,
        );
        assertEquals([live(gpu), live(other), cache.pool.freeBlocks], before);
      });
    }
  },
);

/** A table of a cache that makes none any more. */
function newTable(cache: KvCache) {
  return new BlockTable(cache.pool);
}

gpuTest("attention() stops where the signal says so", async (_, gpu) => {
  const before = live(gpu);
  const controller = new AbortController();
  const call = attention(gpu, { ...SMALL, signal: controller.signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => call, Error, "enough");
  await gpu.queue.onSubmittedWorkDone();
  assertEquals(live(gpu), before);
});

Deno.test("attention() refuses what is no Gpu", async () => {
  await assertRejects(
    () => attention({} as Gpu, SMALL),
    TypeError,
    "gpu must be a Gpu",
  );
});

gpuTest("attention() refuses f16 without shader-f16", async () => {
  const adapter = await (await webgpu()).requestAdapter();
  const device = await adapter!.requestDevice();
  using gpu = await openGpu({ device });
  const data = new Float16Array(8);
  const tensor: HostTensor = { data, shape: [1, 1, 1, 8] };
  const before = live(gpu);
  await assertRejects(
    () => attention(gpu, { query: tensor, key: tensor, value: tensor }),
    UnsupportedError,
    "shader-f16",
  );
  assertEquals(live(gpu), before);
  gpu.destroy();
  device.destroy();
});

gpuTest("attention() rejects with DeviceLostError while it waits", async () => {
  using gpu = await ownGpu();
  const call = attention(gpu, SMALL);
  const lost = assertRejects(() => call, DeviceLostError);
  gpu.device.destroy();
  await lost;
  await assertRejects(() => attention(gpu, SMALL), DeviceLostError);
});

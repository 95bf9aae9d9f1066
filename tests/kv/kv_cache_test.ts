/**
 * The cache's device half: rows go where slots say and nowhere else, copies
 * do what copy-on-write asks for, and every refusal changes nothing.
 *
 * @module
 */

import {
  assertEquals,
  assertGreater,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  attention,
  DeviceLostError,
  type Gpu,
  type HostTensor,
  KvCache,
  type KvCacheOptions,
  openGpu,
  OutOfBlocksError,
  UnsupportedError,
} from "../../mod.ts";
import type { BlockCopy } from "../../src/cache/mod.ts";
import { SKIP_SLOT } from "../../kernels/cache/append.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest, ownGpu, webgpu } from "../support/gpu.ts";
import { live, random } from "../ops/attention/tensors.ts";
import {
  type CacheImage,
  fillCache,
  randomRows,
  readCache,
  uploadRows,
} from "./cache_image.ts";

interface Layout extends KvCacheOptions {
  readonly blockSize: number;
}

const F32: Layout = {
  numBlocks: 9,
  blockSize: 4,
  layers: 2,
  kvHeads: 2,
  headDim: 8,
};

/** A layout whose arenas hold `blocks` blocks each. */
function split(layout: Layout, blocks: number): Layout {
  const { blockSize, kvHeads, headDim, valueHeadDim = headDim } = layout;
  const bytes = layout.dtype === "f16" ? 2 : 4;
  return {
    ...layout,
    maxArenaBytes: blocks * blockSize * kvHeads * (headDim + valueHeadDim) *
      bytes,
  };
}

const ODD: Layout = { ...F32, headDim: 5, valueHeadDim: 3, blockSize: 3 };
const LAYOUTS: [string, Layout][] = [
  ["one arena", F32],
  ["three arenas", split(F32, 3)],
  ["an arena a block", split(F32, 1)],
  ["odd head dims", ODD],
  ["odd head dims in four arenas", split(ODD, 2)],
];
const HALF: [string, Layout][] = [
  ["f16", { ...F32, dtype: "f16" }],
  ["f16, odd head dims, three arenas", split({ ...ODD, dtype: "f16" }, 3)],
];

/** Registers a test for each layout. */
function forLayouts(
  name: string,
  fn: (gpu: Gpu, cache: KvCache) => Promise<void>,
): void {
  const run = (layouts: [string, Layout][], features: string[]) =>
    gpuTest(features.length > 0 ? `${name} in f16` : name, async (t, gpu) => {
      for (const [what, layout] of layouts) {
        await t.step(what, async () => {
          using cache = await KvCache.create(gpu, layout);
          await fn(gpu, cache);
        });
      }
    }, { features });
  run(LAYOUTS, []);
  run(HALF, ["shader-f16"]);
}

function assertImages(actual: CacheImage[], expected: CacheImage[]): void {
  assertEquals(actual.length, expected.length);
  actual.forEach((image, layer) => {
    assertEquals(image.key, expected[layer].key, `keys of layer ${layer}`);
    assertEquals(image.value, expected[layer].value, `values of ${layer}`);
  });
}

gpuTest("KvCache.create() divides blocks among arenas", async (_, gpu) => {
  for (
    const [blocks, segments, segmentBlocks] of [
      [9, 1, 9],
      [8, 2, 5],
      [4, 3, 3],
      [2, 5, 2],
      [1, 9, 1],
    ]
  ) {
    const before = live(gpu);
    using cache = await KvCache.create(gpu, split(F32, blocks));
    assertEquals([cache.segments, cache.segmentBlocks], [
      segments,
      segmentBlocks,
    ]);
    const arenas = 2 * segments;
    assertEquals(live(gpu).buffers - before.buffers, arenas);
    assertEquals(live(gpu).bytes - before.bytes, cache.byteLength);
    assertEquals(cache.arenas(1).length, segments);
  }
});

forLayouts(
  "KvCache.step() writes rows to their slots alone",
  async (gpu, cache) => {
    const images = fillCache(gpu, cache, 1);
    const capacity = cache.numBlocks * cache.blockSize;
    const prng = new Prng(7);
    const slots = Uint32Array.from(
      prng.shuffle(Array.from({ length: capacity }, (_, i) => i)).slice(0, 11),
    );
    slots[2] = slots[10] = SKIP_SLOT;
    const rows = randomRows(cache, slots.length, 50);
    using tensors = uploadRows(gpu, cache, rows);
    cache.step([{ slots: slots.slice(0, 4) }, { slots: slots.slice(4) }])
      .write({ ...tensors, layer: 1 });
    slots.forEach((slot, i) => {
      if (slot !== SKIP_SLOT) images[1].write(slot, i, rows);
    });
    assertImages(await readCache(gpu, cache), images);
  },
);

forLayouts(
  "KvCache.copy() copies in order, in all layers",
  async (gpu, cache) => {
    const images = fillCache(gpu, cache, 3);
    const prng = new Prng(11);
    const block = () => 1 + prng.below(cache.numBlocks - 1);
    const copies: BlockCopy[] = [
      // A chain, a swap by way of a third block, and a fan.
      { source: 1, destination: 5, rows: cache.blockSize },
      { source: 5, destination: 8, rows: 2 },
      { source: 8, destination: 1, rows: 1 },
      { source: 2, destination: 6, rows: cache.blockSize },
      { source: 3, destination: 2, rows: cache.blockSize },
      { source: 6, destination: 3, rows: 0 },
      { source: 4, destination: 7, rows: 2 },
      { source: 4, destination: 6, rows: 2 },
    ];
    while (copies.length < 20) {
      const [source, destination] = [block(), block()];
      if (source === destination) continue;
      copies.push({
        source,
        destination,
        rows: prng.below(cache.blockSize + 1),
      });
    }
    cache.copy(copies);
    for (const image of images) copies.forEach((copy) => image.copy(copy));
    assertImages(await readCache(gpu, cache), images);
  },
);

gpuTest(
  "KvCache.encodeCopies() orders only copies that touch",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...F32, layers: 1 });
    const copies = (...pairs: [number, number][]): BlockCopy[] =>
      pairs.map(([source, destination]) => ({ source, destination, rows: 1 }));
    const cases: [string, BlockCopy[], number][] = [
      ["nothing", [], 0],
      ["one source", copies([1, 2], [1, 3], [4, 5]), 1],
      ["a read after a write", copies([1, 2], [2, 3]), 2],
      ["a write after a write", copies([1, 2], [3, 2]), 2],
      ["a write after a read", copies([1, 2], [3, 1]), 2],
      ["a chain", copies([1, 2], [2, 3], [5, 6], [3, 4]), 3],
    ];
    for (const [what, list, expected] of cases) {
      let dispatches = 0;
      const pass = {
        setPipeline() {},
        setBindGroup() {},
        dispatchWorkgroups: () => dispatches++,
        end() {},
      };
      const encoder = { beginComputePass: () => pass };
      cache.encodeCopies(encoder as unknown as GPUCommandEncoder, list);
      assertEquals(dispatches, expected, what);
    }
  },
);

gpuTest(
  "KvCache copies before it writes, once for all layers",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, F32);
    const images = fillCache(gpu, cache, 5);
    const parent = cache.createSequence();
    parent.reserve(6);
    const child = parent.fork();
    using step = cache.reserve([{ sequence: child, count: 3 }]);
    assertEquals(step.copies, 1);
    for (let layer = 0; layer < cache.layers; layer++) {
      const rows = randomRows(cache, 3, 70 + layer);
      using tensors = uploadRows(gpu, cache, rows);
      step.write({ layer, ...tensors });
      images[layer].copy({
        source: parent.blocks[1],
        destination: child.blocks[1],
        rows: 2,
      });
      for (let i = 0; i < 3; i++) {
        images[layer].write(child.slot(6 + i), i, rows);
      }
    }
    step.commit();
    assertImages(await readCache(gpu, cache), images);
    for (const table of [parent, child]) table.free();
    cache.pool.verify();
  },
);

gpuTest(
  "attention() over several arenas is bitwise that over one",
  async (_, gpu) => {
    const layout = { ...F32, layers: 1, numBlocks: 12 };
    const lengths = [17, 1, 9];
    const query = random([3, 1, 4, 8], 40);
    const prefill = random([3, 5, 4, 8], 41);
    const results: HostTensor[][] = [];
    for (const blocks of [12, 4]) {
      using cache = await KvCache.create(gpu, split(layout, blocks));
      fillCache(gpu, cache, 1);
      const sequences = lengths.map(() => cache.createSequence());
      // One by one, so that blocks of one sequence lie in several arenas.
      for (const [i, count] of [9, 1, 4, 8, 0, 5].entries()) {
        using rows = uploadRows(gpu, cache, randomRows(cache, count, 80 + i));
        cache.append([{ sequence: sequences[i % 3], count }], rows);
      }
      assertEquals(sequences.map(({ length }) => length), lengths);
      results.push([
        (await attention(gpu, { query, cache, sequences })).output,
        (await attention(gpu, {
          query: prefill,
          cache,
          sequences,
          causal: true,
        })).output,
      ]);
    }
    assertGreater(results[0][0].data.filter((x) => x !== 0).length, 50);
    assertEquals(results[1], results[0]);
  },
);

gpuTest("attention() refuses more arenas than a stage can bind", async () => {
  const adapter = await (await webgpu()).requestAdapter();
  const device = await adapter!.requestDevice();
  using gpu = await openGpu({ device });
  const most = gpu.limits.maxStorageBuffersPerShaderStage;
  using cache = await KvCache.create(
    gpu,
    split({ ...F32, layers: 1, numBlocks: most - 3 }, 1),
  );
  assertEquals(cache.segments, most - 3);
  const sequences = [cache.createSequence()];
  const before = live(gpu);
  await assertRejects(
    () =>
      attention(gpu, {
        query: random([1, 1, 4, 8], 1),
        cache,
        sequences,
        returnLse: true,
      }),
    UnsupportedError,
    `maxStorageBuffersPerShaderStage is ${most}`,
  );
  assertEquals(live(gpu), before);
  gpu.destroy();
  device.destroy();
});

gpuTest("KvCache.create() refuses options that do not fit", async (_, gpu) => {
  const limit = Math.min(
    gpu.limits.maxBufferSize,
    gpu.limits.maxStorageBufferBindingSize,
  );
  const cases: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ numBlocks: 1.5 }, RangeError, "numBlocks"],
    [{ numBlocks: -1 }, RangeError, "numBlocks"],
    [{ numBlocks: "9" }, TypeError, "numBlocks"],
    [{ blockSize: 0 }, RangeError, "blockSize"],
    [{ blockSize: 2.5 }, RangeError, "blockSize"],
    [{ layers: 0 }, RangeError, "layers must be an integer >= 1"],
    [{ kvHeads: 0 }, RangeError, "kvHeads"],
    [{ headDim: 0 }, RangeError, "headDim must be an integer in 1..256"],
    [{ headDim: 257 }, RangeError, "headDim"],
    [{ valueHeadDim: 257 }, RangeError, "valueHeadDim"],
    [{ dtype: "f64" }, TypeError, 'dtype must be "f32" or "f16"'],
    [{ maxArenaBytes: 0 }, RangeError, "maxArenaBytes"],
    [{ maxArenaBytes: 0.5 }, RangeError, "maxArenaBytes"],
    [{ maxArenaBytes: limit + 1 }, RangeError, `device can bind (${limit})`],
    [{ maxArenaBytes: 511 }, RangeError, "a block's bytes"],
    [{ numBlocks: 3, blockSize: 2 ** 30 }, RangeError, "a block's bytes"],
  ];
  const before = live(gpu);
  for (const [change, ErrorClass, message] of cases) {
    await assertRejects(
      () => KvCache.create(gpu, { ...F32, ...change }),
      ErrorClass,
      message,
    );
  }
  assertEquals(live(gpu), before);
});

gpuTest(
  "KvCache refuses rows, slots and copies that do not fit",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, F32);
    const images = fillCache(gpu, cache, 1);
    const rows = uploadRows(gpu, cache, randomRows(cache, 2, 9));
    using good = rows;
    const wide = uploadRows(gpu, cache, randomRows(cache, 3, 9));
    using spare = wide;
    using gone = gpu.empty("f32", good.key.shape);
    gone.destroy();
    using half = gpu.empty("u32", good.key.shape);
    using other = await ownGpu();
    const foreign = other.empty("f32", good.key.shape);
    const slots = Uint32Array.of(5, 6);
    const write = (rows: object | null) => () =>
      cache.step([{ slots }]).write(rows as never);
    const step = (reservation: object | null, group = 0) => () =>
      cache.step([reservation as never], { group });
    const copy = (change: Partial<BlockCopy>) =>
      step({
        slots,
        copies: [{ source: 1, destination: 2, rows: 1, ...change }],
      });
    const cases: [() => void, typeof TypeError | typeof RangeError, string][] =
      [
        [
          write({ ...good, key: undefined }),
          TypeError,
          "key must be a tensor",
        ],
        [write({ ...good, value: null }), TypeError, "value must be a tensor"],
        [write({ ...good, key: spare.key }), TypeError, "key.size must be 32"],
        [write({ ...good, value: spare.value }), TypeError, "value.size"],
        [write({ ...good, key: gone }), TypeError, "destroyed"],
        [
          write({ ...good, value: half }),
          TypeError,
          "value.dtype must be f32",
        ],
        [write({ ...good, key: foreign }), TypeError, "of the cache's Gpu"],
        [write({ ...good, layer: 2 }), RangeError, "layer must be an integer"],
        [write({ ...good, layer: -1 }), RangeError, "layer"],
        [write(null), TypeError, "rows must be an object"],
        [
          step({ slots: Uint32Array.of(5, 36) }),
          RangeError,
          "slots[1] must be < 36",
        ],
        [step({ slots: [5, 6] }), TypeError, "reservations[0].slots must be"],
        [step({}), TypeError, "reservations[0].slots must be"],
        [step(null), TypeError, "reservations[0].slots must be"],
        [step({ slots, copies: {} }), TypeError, "reservations[0].copies"],
        [step({ slots: [slots, slots] }, 2), RangeError, "group must be"],
        [step({ slots: [slots, slots] }, -1), RangeError, "group must be"],
        [copy({ source: 9 }), RangeError, "copies[0].source"],
        [copy({ destination: 0 }), RangeError, "copies[0].destination"],
        [copy({ destination: 9 }), RangeError, "copies[0].destination"],
        [copy({ rows: 5 }), RangeError, "copies[0].rows"],
        [copy({ rows: 1.5 }), RangeError, "copies[0].rows"],
        [() => cache.arenas(2), RangeError, "layer"],
      ];
    const before = live(gpu);
    for (const [call, ErrorClass, message] of cases) {
      assertThrows(call, ErrorClass, message);
    }
    assertEquals(live(gpu), before);
    assertImages(await readCache(gpu, cache), images);
  },
);

gpuTest("KvCache with an exhausted pool changes nothing", async (_, gpu) => {
  using cache = await KvCache.create(gpu, F32);
  const images = fillCache(gpu, cache, 2);
  const sequence = cache.createSequence();
  sequence.reserve(30);
  const fork = sequence.fork();
  const before = [sequence.blocks, cache.pool.freeBlocks];
  const error = assertThrows(() => fork.reserve(3), OutOfBlocksError);
  assertEquals([error.needed, error.free], [2, 0]);
  assertEquals([fork.blocks, cache.pool.freeBlocks], before);
  assertEquals(fork.length, 30);
  cache.pool.verify();
  assertImages(await readCache(gpu, cache), images);
});

gpuTest("KvCache.destroy() frees the arenas, once", async (_, gpu) => {
  const before = live(gpu);
  const cache = await KvCache.create(gpu, F32);
  const sequence = cache.createSequence();
  sequence.reserve(3);
  using rows = uploadRows(gpu, cache, randomRows(cache, 1, 1));
  const held = live(gpu).bytes - cache.byteLength;
  const fork = sequence.fork();
  const step = cache.reserve([{ sequence, count: 1 }]);
  assertEquals(step.copies, 1);
  cache.destroy();
  cache.destroy();
  cache[Symbol.dispose]();
  assertEquals(live(gpu).bytes, held);
  const encoder = gpu.device.createCommandEncoder();
  const calls = [
    () => cache.createSequence(),
    () => cache.arenas(),
    () => cache.append([{ sequence, count: 1 }], rows),
    () => cache.reserve([]),
    () => cache.step([]),
    () => step.write(rows),
    () => cache.copy([]),
    () => cache.copyPending(),
    () => cache.encodeCopies(encoder, []),
  ];
  for (const call of calls) {
    assertThrows(call, TypeError, "cache must not be destroyed");
  }
  step.cancel();
  assertEquals(sequence.length, 3);
  encoder.finish();
  for (const table of [sequence, fork]) table.free();
  rows[Symbol.dispose]();
  assertEquals(live(gpu), before);
});

gpuTest("KvCache throws DeviceLostError once its device is lost", async () => {
  using gpu = await ownGpu();
  const cache = await KvCache.create(gpu, F32);
  const sequence = cache.createSequence();
  const rows = uploadRows(gpu, cache, randomRows(cache, 1, 1));
  const encoder = gpu.device.createCommandEncoder();
  sequence.reserve(3);
  sequence.fork();
  const step = cache.reserve([{ sequence, count: 1 }]);
  assertEquals(step.copies, 1);
  gpu.device.destroy();
  await gpu.device.lost;
  await Promise.resolve();
  const calls = [
    () => cache.createSequence(),
    () => cache.arenas(),
    () => cache.append([{ sequence, count: 1 }], rows),
    () => cache.step([]),
    () => step.write(rows),
    () => cache.copy([]),
    () => cache.encodeCopies(encoder, []),
  ];
  for (const call of calls) assertThrows(call, DeviceLostError);
  step.cancel();
  assertEquals(sequence.length, 3);
  await assertRejects(() => KvCache.create(gpu, F32), DeviceLostError);
  cache.destroy();
});

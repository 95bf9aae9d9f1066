/**
 * What the contiguous cache refuses, and attention over it: a clear error, and
 * nothing has changed.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  ContiguousCache,
  DeviceLostError,
  KvCache,
  OutOfBlocksError,
  planAttention,
} from "../../mod.ts";
import type { GpuBuffer } from "../../src/gpu/mod.ts";
import { gpuTest, ownGpu } from "../support/gpu.ts";
import { live, random } from "../ops/attention/tensors.ts";
import { randomRows, uploadRows } from "./cache_image.ts";

const SHAPE = {
  numBlocks: 24,
  blockSize: 3,
  layers: 2,
  kvHeads: 2,
  headDim: 8,
  valueHeadDim: 6,
} as const;

gpuTest("ContiguousCache without a long enough run", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, SHAPE);
  const sequences = [8, 2, 9, 5].map((blocks) => {
    const sequence = cache.createSequence();
    sequence.reserve(3 * blocks);
    return sequence;
  });
  for (const i of [1, 3]) sequences[i].free();
  const error = assertThrows(
    () => cache.createSequence().reserve(18),
    OutOfBlocksError,
    "6 needed, 7 free, 5 in one run",
  ) as OutOfBlocksError;
  assertEquals([error.needed, error.free, error.largest], [6, 7, 5]);
  assertThrows(() => cache.fork(sequences[0]), OutOfBlocksError);
  cache.compact();
  assertEquals(cache.createSequence().reserve(18).slots[0], 3 * 17);
  cache.pool.verify();
});

gpuTest(
  "ContiguousCache.create() refuses what does not fit",
  async (_, gpu) => {
    const limit = Math.min(
      gpu.limits.maxBufferSize,
      gpu.limits.maxStorageBufferBindingSize,
    );
    const most = Math.floor(limit / (3 * 2 * 14 * 4));
    const cases: [object, typeof TypeError | typeof RangeError, string][] = [
      [{ numBlocks: 1.5 }, RangeError, "numBlocks"],
      [{ numBlocks: "9" }, TypeError, "numBlocks"],
      [{ numBlocks: most + 1 }, RangeError, `numBlocks must be <= ${most}`],
      [{ blockSize: 0 }, RangeError, "blockSize"],
      [{ layers: 0 }, RangeError, "layers"],
      [{ headDim: 257 }, RangeError, "headDim"],
      [{ dtype: "f64" }, TypeError, "dtype"],
      [{ growth: "max" }, TypeError, "growth must be an object"],
      [{ growth: null }, TypeError, "growth must be an object"],
      [{ growth: { policy: "most" } }, TypeError, "policy"],
      [{ growth: { policy: "max" } }, RangeError, "maxLength"],
      [{ growth: { maxLength: -1 } }, RangeError, "maxLength"],
      [{ rope: { pairing: "half-split", dim: 3 } }, RangeError, "rope.dim"],
    ];
    const before = live(gpu);
    for (const [change, ErrorClass, message] of cases) {
      await assertRejects(
        () => ContiguousCache.create(gpu, { ...SHAPE, ...change }),
        ErrorClass,
        message,
      );
    }
    assertEquals(live(gpu), before);
  },
);

gpuTest("ContiguousCache refuses what is not its own", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, SHAPE);
  using other = await ContiguousCache.create(gpu, SHAPE);
  const sequence = cache.createSequence();
  using rows = uploadRows(gpu, cache, randomRows(cache, 2, 1));
  const slots = Uint32Array.of(0, 72);
  const freed = cache.createSequence();
  freed.free();
  const copy = (source: number, destination: number) => () =>
    cache.step([{
      slots: sequence.reserve(0).slots,
      copies: [{ source, destination, rows: 1 }],
    }]);
  const calls: [() => unknown, typeof TypeError | typeof RangeError, string][] =
    [
      [() => cache.step([{ slots }]), RangeError, "< 72"],
      [
        () => other.append([{ sequence, count: 2 }], rows),
        TypeError,
        "requests[0].sequence must be a sequence of the cache",
      ],
      [
        () => cache.append([{ sequence: freed, count: 2 }], rows),
        TypeError,
        "rows must be { layers: [...] } for the cache's 2 layers",
      ],
      [
        () => cache.reserve([{ sequence: freed, count: 2 }]),
        TypeError,
        "freed",
      ],
      [copy(24, 1), RangeError, "copies[0].source"],
      [copy(1, 24), RangeError, "copies[0].destination"],
      [() => other.fork(sequence), TypeError, "sequence of the cache"],
      [() => cache.fork(null as never), TypeError, "sequence of the cache"],
      [() => cache.fork(freed), TypeError, "freed"],
      [() => sequence.reserve(-1), RangeError, "count"],
    ];
  const before = [live(gpu), cache.pool.stats(), other.pool.stats()];
  for (const [call, ErrorClass, message] of calls) {
    assertThrows(call, ErrorClass, message);
  }
  assertEquals([live(gpu), cache.pool.stats(), other.pool.stats()], before);
});

gpuTest(
  "a step refuses copies of rows that it is to write",
  async (_, gpu) => {
    using cache = await ContiguousCache.create(gpu, SHAPE);
    using paged = await KvCache.create(gpu, SHAPE);
    const [moved, other] = [cache.createSequence(), cache.createSequence()];
    const parent = paged.createSequence();
    using rows = uploadRows(gpu, cache, randomRows(cache, 2, 4));
    // The second reservation moves, or copies on write, what the first counts.
    const twice = [moved.reserve(2), other.reserve(1), moved.reserve(2)];
    const forked = [parent.reserve(4), parent.fork().reserve(1)];
    for (
      const [of, reservations] of [[cache, twice], [paged, forked]] as const
    ) {
      assertThrows(
        () => of.step(reservations),
        RangeError,
        `reservations[${reservations.length - 1}].copies must not read a slot`,
      );
    }
    // One may move to where another was, and write there.
    const [, first, second] = [1, 6, 3, 1].map((count) => {
      const sequence = cache.createSequence();
      sequence.reserve(count);
      return sequence;
    });
    const { start } = first;
    const swaps = [first.reserve(1), second.reserve(1)];
    assertEquals(swaps.map(({ copies }) => copies.length), [2, 1]);
    assertEquals(second.start, start);
    cache.step(swaps).write(rows);
  },
);

gpuTest("attention() refuses extents that do not fit", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, SHAPE);
  using other = await ContiguousCache.create(gpu, SHAPE);
  using paged = await KvCache.create(gpu, SHAPE);
  const query = random([1, 1, 4, 8], 1);
  const [own, freed] = [cache.createSequence(), cache.createSequence()];
  freed.free();
  const cases: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ cache, sequences: [other.createSequence()] }, TypeError, "of the cache"],
    [{ cache, sequences: [paged.createSequence()] }, TypeError, "of the cache"],
    [{ cache: paged, sequences: [own] }, TypeError, "sequences[0] must be"],
    [{ cache, sequences: [own, own] }, TypeError, "sequences.length"],
    [{ cache, sequences: [freed] }, TypeError, "freed"],
    [{ cache, sequences: [own], layer: 2 }, RangeError, "layer"],
    [{ cache: {}, sequences: [own] }, TypeError, "or a ContiguousCache"],
  ];
  const before = live(gpu);
  for (const [options, ErrorClass, message] of cases) {
    await assertRejects(
      () => attention(gpu, { query, ...options }),
      ErrorClass,
      message,
    );
  }
  assertEquals(live(gpu), before);
});

gpuTest("a plan over extents wants the arena", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, SHAPE);
  const sequences = [cache.createSequence()];
  sequences[0].reserve(3);
  using query = gpu.empty("f32", [1, 1, 4, 8]);
  using output = gpu.empty("f32", [1, 1, 4, 6]);
  using plan = await planAttention(gpu, { query, cache, sequences });
  using short = gpu.createBuffer({
    size: cache.byteLength / 2 - 4,
    usage: cache.arenas()[0].usage,
  });
  const encoder = gpu.device.createCommandEncoder();
  const encode = (arenas?: readonly GpuBuffer[]) => () =>
    plan.encode(encoder, { query, output, ...(arenas && { arenas }) });
  assertThrows(encode(), TypeError, "arenas must be 1 buffers");
  assertThrows(encode([short]), TypeError, "arenas[0].size must be >= 8064");
  encode(cache.arenas(1))();
  encoder.finish();
});

gpuTest("ContiguousCache.destroy() frees the arenas, once", async (_, gpu) => {
  const before = live(gpu);
  const cache = await ContiguousCache.create(gpu, SHAPE);
  const sequence = cache.createSequence();
  sequence.reserve(3);
  cache.destroy();
  cache[Symbol.dispose]();
  assertEquals(live(gpu), before);
  const calls = [
    () => cache.createSequence(),
    () => cache.arenas(),
    () => cache.compact(),
    () => cache.fork(sequence),
  ];
  const stats = cache.pool.stats();
  for (const call of calls) {
    assertThrows(call, TypeError, "cache must not be destroyed");
  }
  assertEquals(cache.pool.stats(), stats);
  sequence.free();
});

gpuTest(
  "ContiguousCache throws DeviceLostError once its device is lost",
  async () => {
    using gpu = await ownGpu();
    const cache = await ContiguousCache.create(gpu, SHAPE);
    const [gap, sequence] = [cache.createSequence(), cache.createSequence()];
    for (const it of [gap, sequence]) it.reserve(1);
    gap.free();
    gpu.device.destroy();
    await gpu.device.lost;
    await Promise.resolve();
    for (
      const call of [
        () => cache.createSequence(),
        () => cache.compact(),
        () => cache.fork(sequence),
      ]
    ) {
      assertThrows(call, DeviceLostError);
    }
    assertEquals(sequence.start, 3);
    await assertRejects(
      () => ContiguousCache.create(gpu, SHAPE),
      DeviceLostError,
    );
    cache.destroy();
  },
);

/**
 * Caches that a fault once corrupted and that a suite of the time let pass:
 * each name says how.
 *
 * @module
 */

import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { ContiguousCache, KvCache } from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { randomRows, readCache, uploadRows } from "../kv/cache_image.ts";

gpuTest(
  "append() of rows that do not fit left the sequence longer",
  async (_, gpu) => {
    const size = { numBlocks: 12, kvHeads: 2, headDim: 8 };
    using paged = await KvCache.create(gpu, size);
    using contiguous = await ContiguousCache.create(gpu, size);
    for (const cache of [paged, contiguous]) {
      const sequence = cache.createSequence();
      using rows = uploadRows(gpu, cache, randomRows(cache, 99, 1));
      assertThrows(
        () => cache.append([{ sequence, count: 100 }], rows),
        TypeError,
        "key.size must be 1600",
      );
      assertEquals([sequence.length, sequence.committed], [0, 0]);
      assertEquals(cache.pool.usedBlocks, 0);
    }
  },
);

gpuTest(
  "a contiguous cache of several layers moved again what was just written",
  async (_, gpu) => {
    using cache = await ContiguousCache.create(gpu, {
      numBlocks: 24,
      blockSize: 1,
      layers: 3,
      kvHeads: 1,
      headDim: 4,
    });
    const [first, second] = [cache.createSequence(), cache.createSequence()];
    const written = new Map([[first, new Array<number>()], [second, []]]);
    let moved = 0;
    const add = (sequence: typeof first, count: number) => {
      using step = cache.reserve([{ sequence, count }]);
      moved += step.copies;
      const at = sequence.length - count;
      for (let layer = 0; layer < cache.layers; layer++) {
        const rows = randomRows(cache, count, 100 * layer + 10 * at + count);
        using tensors = uploadRows(gpu, cache, rows);
        step.write({ layer, ...tensors });
      }
      step.commit();
      for (let i = 0; i < count; i++) written.get(sequence)!.push(at, count, i);
    };
    // Each outgrows its place again and again, over where the other was.
    for (let i = 0; i < 6; i++) {
      add(first, 1);
      add(second, 1);
    }
    assertGreater(moved, 10);
    (await readCache(gpu, cache)).forEach((image, layer) => {
      for (const [sequence, tokens] of written) {
        for (let position = 0; position < sequence.length; position++) {
          const [at, count, i] = tokens.slice(3 * position);
          const { key, value } = randomRows(
            cache,
            count,
            100 * layer + 10 * at + count,
          );
          assertEquals(
            image.slot(sequence.slot(position)),
            [...key.slice(4 * i, 4 * i + 4), ...value.slice(4 * i, 4 * i + 4)],
            `layer ${layer}, position ${position}`,
          );
        }
      }
    });
  },
);

gpuTest("a copy of a large block lost its last rows", async (_, gpu) => {
  // 4 bytes at a time, 64 invocations, and 65,535 iterations of llvmpipe's
  // loops over keys and values together: the smallest block that needs more.
  const blockSize = 32 * 65_535 + 1000;
  using cache = await ContiguousCache.create(gpu, {
    numBlocks: 2,
    blockSize,
    kvHeads: 1,
    headDim: 1,
  });
  const [{ buffer, size }] = cache.arenas();
  const values = Uint32Array.from({ length: size / 4 }, (_, i) => i);
  gpu.queue.writeBuffer(buffer, 0, values);
  cache.copy([{ source: 0, destination: 1, rows: blockSize }]);
  const words = await gpu.readOne(gpu.wrap(buffer, "u32", [size / 4]));
  // Keys of both blocks, then values of both.
  const wrong = words.findIndex((word, i) => {
    const copied = Math.floor(i / blockSize) % 2 === 1;
    return i < 4 * blockSize && word !== (copied ? i - blockSize : i);
  });
  assertEquals(wrong, -1, "the first word that differs");
});

/**
 * Caches of many gigabytes, on a device that is limits and a count of buffers.
 *
 * @module
 */

import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { attentionProblem, KvCache } from "../../mod.ts";
import { checkIndexing } from "../../src/ops/attention/limits.ts";
import { paperGpu } from "../support/paper_gpu.ts";

const LIMIT = 4 * 2 ** 30 - 4;

Deno.test("KvCache.create() makes arenas that attention can address", async () => {
  for (const headDim of [64, 63]) {
    for (const dtype of ["f32", "f16"] as const) {
      const { gpu } = paperGpu();
      const blockBytes = 16 * 8 * 2 * headDim * (dtype === "f16" ? 2 : 4);
      const cache = await KvCache.create(gpu, {
        numBlocks: Math.ceil(1.5 * LIMIT / blockBytes),
        kvHeads: 8,
        headDim,
        dtype,
      });
      assertGreater(cache.segments, 1);
      const query = { dtype, shape: [1, 1, 8, headDim] };
      const sequences = [cache.createSequence()];
      checkIndexing(gpu, attentionProblem({ query, cache, sequences }));
    }
  }
});

Deno.test("KvCache.create() refuses more than attention can bind", async () => {
  const { gpu, made } = paperGpu({ limit: 2 ** 20 });
  const create = (numBlocks: number) =>
    KvCache.create(gpu, { numBlocks, kvHeads: 1, headDim: 64 });
  // 8 KiB a block, 128 of them an arena, and 13 arenas beside 3 other buffers.
  assertEquals((await create(1664)).segments, 13);
  const before = made();
  for (const numBlocks of [1665, 2 ** 40]) {
    await assertRejects(
      () => create(numBlocks),
      RangeError,
      "numBlocks must be <= 1664, as a layer can have 13 arenas of 128 blocks",
    );
  }
  assertEquals(made(), before);
});

Deno.test("KvCache.create() keeps one arena as large as it can be bound", async () => {
  const { gpu } = paperGpu({ most: 1 });
  const blockBytes = 16 * 2 * 63 * 4;
  const numBlocks = Math.floor(LIMIT / blockBytes);
  const cache = await KvCache.create(gpu, {
    numBlocks,
    kvHeads: 1,
    headDim: 63,
  });
  assertEquals(cache.segments, 1);
});

Deno.test("KvCache.create() frees what it made where memory runs out", async () => {
  const { gpu, made } = paperGpu({ most: 5 });
  await assertRejects(
    () =>
      KvCache.create(gpu, { numBlocks: 4, layers: 6, kvHeads: 1, headDim: 4 }),
    RangeError,
    "out of paper",
  );
  assertEquals(made(), 0);
});

/**
 * The contiguous cache's device half: the same rows as a paged cache keeps,
 * wherever they are moved.
 *
 * @module
 */

import { assertEquals, assertGreater } from "@std/assert";
import {
  type BlockTable,
  ContiguousCache,
  type ContiguousCacheOptions,
  type Gpu,
  type GpuTensor,
  KvCache,
  rotaryTable,
} from "../../mod.ts";
import type { ContiguousSequence } from "../../src/cache/mod.ts";
import type { KvArenas } from "../../src/kv/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { randomRows, readCache, uploadRows } from "./cache_image.ts";
import { RawImage } from "./raw_image.ts";

const SHAPE = {
  numBlocks: 24,
  blockSize: 3,
  layers: 2,
  kvHeads: 2,
  headDim: 8,
  valueHeadDim: 6,
} as const;

/** New rows of any position, rotated where the cache rotates. */
function append(
  cache: KvCache | ContiguousCache,
  sequence: BlockTable | ContiguousSequence,
  { count, seed, table }: { count: number; seed: number; table: GpuTensor },
): void {
  const first = sequence.length;
  using step = cache.reserve([{ sequence, count }]);
  using positions = cache.gpu.tensor(
    Uint32Array.from({ length: count }, (_, i) => first + i),
    [count],
  );
  for (let layer = 0; layer < cache.layers; layer++) {
    using rows = uploadRows(
      cache.gpu,
      cache,
      randomRows(cache, count, 10 * seed + layer),
    );
    step.write({
      ...rows,
      layer,
      ...(cache.ropeDim > 0 && { rotation: { positions, table } }),
    });
  }
  step.commit();
}

/** What a cache holds of some sequences, row by row, in all layers. */
async function contents(
  gpu: Gpu,
  cache: KvArenas,
  sequences: readonly (BlockTable | ContiguousSequence)[],
): Promise<number[][]> {
  const images = await readCache(gpu, cache);
  return images.flatMap((image) =>
    sequences.flatMap((sequence) =>
      Array.from(
        { length: sequence.length },
        (_, i) => image.slot(sequence.slot(i)),
      )
    )
  );
}

/** Growth of three sequences one by one, with a fork, and one that ends. */
function run(
  cache: KvCache | ContiguousCache,
  table: GpuTensor,
): (BlockTable | ContiguousSequence)[] {
  const [first, second] = [cache.createSequence(), cache.createSequence()];
  [4, 5, 1, 2, 7, 1].forEach((count, i) =>
    append(cache, [first, second][i % 2], { count, seed: i, table })
  );
  const fork = cache instanceof KvCache
    ? (first as BlockTable).fork()
    : cache.fork(first as ContiguousSequence);
  [fork, first, fork].forEach((sequence, i) =>
    append(cache, sequence, { count: 2 + i, seed: 10 + i, table })
  );
  second.free();
  if (cache instanceof ContiguousCache) cache.compact();
  append(cache, first, { count: 5, seed: 20, table });
  fork.truncate(7);
  append(cache, fork, { count: 3, seed: 21, table });
  return [first, fork];
}

const LAYOUTS = {
  "plain rows": {},
  "odd head dims": { headDim: 5, valueHeadDim: 3 },
  "half-split rope": { rope: { pairing: "half-split", dim: 6 } },
  "interleaved rope, odd head dims": {
    headDim: 7,
    valueHeadDim: 1,
    rope: { pairing: "interleaved", dim: 6 },
  },
} as const;

const HALF = {
  "f16": { dtype: "f16" },
  "f16, rows of half words": {
    dtype: "f16",
    kvHeads: 1,
    headDim: 5,
    valueHeadDim: 3,
  },
} as const;

/** Registers the test for some layouts. */
function sameTest(
  name: string,
  layouts: Readonly<Record<string, Partial<ContiguousCacheOptions>>>,
  features: readonly string[] = [],
): void {
  gpuTest(name, async (t, gpu) => {
    using table = gpu.tensor(
      rotaryTable({ positions: 50, dim: 6 }),
      [50, 3, 2],
    );
    for (const [what, layout] of Object.entries(layouts)) {
      await t.step(what, async () => {
        const options = { ...SHAPE, ...layout };
        using paged = await KvCache.create(gpu, options);
        using contiguous = await ContiguousCache.create(gpu, options);
        const [expected, actual] = await Promise.all(
          [paged, contiguous].map((cache) =>
            contents(gpu, cache, run(cache, table))
          ),
        );
        assertEquals(actual, expected);
        const { relocations, used } = contiguous.pool.stats();
        assertGreater(relocations, 2);
        assertEquals(2 * used, expected.length);
        contiguous.pool.verify();
      });
    }
  }, { features });
}

sameTest("ContiguousCache holds what KvCache holds, bitwise", LAYOUTS);
sameTest("ContiguousCache holds what KvCache holds in f16, bitwise", HALF, [
  "shader-f16",
]);

gpuTest(
  "ContiguousCache.compact() moves rows over themselves",
  async (_, gpu) => {
    using cache = await ContiguousCache.create(gpu, { ...SHAPE, layers: 1 });
    const [gap, long] = [cache.createSequence(), cache.createSequence()];
    using rows = uploadRows(gpu, cache, randomRows(cache, 50, 5));
    gap.reserve(1);
    cache.append([{ sequence: long, count: 50 }], rows);
    const before = await contents(gpu, cache, [long]);
    gap.free();
    // 17 blocks, down by one.
    cache.compact();
    assertEquals(long.start, 0);
    assertEquals(await contents(gpu, cache, [long]), before);
  },
);

gpuTest("ContiguousCache moves any bits", async (_, gpu) => {
  const odd = { ...SHAPE, kvHeads: 1, headDim: 5, valueHeadDim: 3 };
  const half = gpu.features.has("shader-f16");
  const layouts = half ? [SHAPE, { ...odd, dtype: "f16" } as const] : [SHAPE];
  for (const layout of layouts) {
    using cache = await ContiguousCache.create(gpu, layout);
    const image = RawImage.fill(gpu, cache, 3);
    const sequences = [4, 20, 10].map((count) => {
      const sequence = cache.createSequence();
      sequence.reserve(count);
      return sequence;
    });
    sequences[0].free();
    const copies = [
      ...sequences[1].reserve(8).copies,
      ...sequences[2].fork().copies,
      ...cache.pool.compact(),
    ];
    assertGreater(copies.length, 15);
    cache.copy(copies);
    for (const copy of copies) image.copy(image, copy);
    const { arenas } = await RawImage.read(gpu, cache);
    assertEquals(arenas, image.arenas);
  }
});

gpuTest("ContiguousCache takes room by its growth policy", async (_, gpu) => {
  const growths = [
    [undefined, [6, 18]],
    [{ policy: "powerOfTwo" }, [6, 33]],
    [{ policy: "powerOfTwo", maxLength: 20 }, [6, 21]],
    [{ policy: "max", maxLength: 20 }, [21, 21]],
  ] as const;
  for (const [growth, room] of growths) {
    using cache = await ContiguousCache.create(gpu, {
      ...SHAPE,
      ...(growth && { growth }),
    });
    const sequence = cache.createSequence();
    const taken = [4, 13].map((count) => {
      sequence.reserve(count);
      return sequence.capacity;
    });
    assertEquals(taken, [...room]);
    const { reserved, used } = cache.pool.stats();
    assertEquals([reserved, used], [room[1], 17]);
  }
});

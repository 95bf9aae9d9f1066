import { assertEquals } from "@std/assert";
import { KvCache } from "../../src/kv/mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

const CACHED: AttentionCase = {
  ...PLAIN,
  layout: "cache",
  blockSize: 5,
  segments: 2,
  sequences: [[9, 83], [1, 37]],
  kvHeads: 2,
  headDim: 7,
  valueHeadDim: 5,
};

gpuTest("appendKernel() writes each row into its slot", async (_, gpu) => {
  const cases: AttentionCase[] = [CACHED, { ...CACHED, seed: 2, segments: 1 }];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

/** All bytes of a cache, as floats, arena after arena. */
async function dump(gpu: Gpu, cache: KvCache): Promise<number[]> {
  const floats = cache.arenas().map((arena) =>
    gpu.wrap(arena.buffer, "f32", [arena.size / 4])
  );
  return (await gpu.read(floats)).flatMap((array) => [...array]);
}

const [numBlocks, blockSize, kvHeads, headDim, valueHeadDim] = [
  6,
  4,
  12,
  20,
  16,
];
const WIDTHS = { key: kvHeads * headDim, value: kvHeads * valueHeadDim };
const BLOCK = blockSize * (WIDTHS.key + WIDTHS.value);

/** A cache whose every float is its place in {@linkcode dump}. */
async function numberedCache(
  gpu: Gpu,
  segments: number,
): Promise<{ cache: KvCache; bytes: number[] }> {
  const cache = await KvCache.create(gpu, {
    numBlocks,
    blockSize,
    kvHeads,
    headDim,
    valueHeadDim,
    maxArenaBytes: 4 * BLOCK * numBlocks / segments,
  });
  const bytes = Array.from({ length: numBlocks * BLOCK }, (_, n) => n);
  cache.arenas().forEach((arena, i, { length }) => {
    const size = bytes.length / length;
    const part = Float32Array.from(bytes.slice(i * size, (i + 1) * size));
    gpu.queue.writeBuffer(arena.buffer, 0, part);
  });
  return { cache, bytes };
}

/** Where a slot's row is in {@linkcode dump}: keys of an arena come first. */
function placeOf(slot: number, part: "key" | "value", segments: number) {
  const slots = numBlocks * blockSize / segments;
  const arena = Math.floor(slot / slots) * slots * (WIDTHS.key + WIDTHS.value);
  return arena + slot % slots * WIDTHS[part] +
    (part === "key" ? 0 : slots * WIDTHS.key);
}

for (const segments of [1, 3]) {
  gpuTest(
    `appendKernel() writes its slots alone, over ${segments} arenas`,
    async (_, gpu) => {
      const { cache, bytes } = await numberedCache(gpu, segments);
      const table = cache.createSequence();
      using step = cache.reserve([{ sequence: table, count: 18 }]);
      const slots = Array.from({ length: 18 }, (_, i) => table.slot(i));
      const rows = (part: "key" | "value", dim: number) => {
        const data = Float32Array.from(
          { length: 18 * WIDTHS[part] },
          (_, n) => -1 - n,
        );
        slots.forEach((slot, t) =>
          data.subarray(t * WIDTHS[part], (t + 1) * WIDTHS[part])
            .forEach((x, n) => bytes[placeOf(slot, part, segments) + n] = x)
        );
        return gpu.tensor(data, [18, kvHeads, dim]);
      };
      using key = rows("key", headDim);
      using value = rows("value", valueHeadDim);
      step.write({ key, value });
      step.commit();
      assertEquals(await dump(gpu, cache), bytes);
      cache.destroy();
    },
  );

  gpuTest(
    `copyBlocksKernel() copies written rows alone, over ${segments} arenas`,
    async (_, gpu) => {
      const { cache, bytes } = await numberedCache(gpu, segments);
      const before = [...bytes];
      const copies = [
        { source: 1, destination: 4, rows: 3 },
        { source: 5, destination: 2, rows: 4 },
        { source: 1, destination: 3, rows: 1 },
      ];
      cache.copy(copies);
      for (const { source, destination, rows } of copies) {
        for (const part of ["key", "value"] as const) {
          const from = placeOf(source * blockSize, part, segments);
          const to = placeOf(destination * blockSize, part, segments);
          for (let n = 0; n < rows * WIDTHS[part]; n++) {
            bytes[to + n] = before[from + n];
          }
        }
      }
      assertEquals(await dump(gpu, cache), bytes);
      cache.destroy();
    },
  );
}

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { copyChunks, copyUnit } from "../../kernels/cache/copy_blocks.ts";
import { KvCache } from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { checkProperty } from "../support/property.ts";
import { layouts, RawImage } from "./raw_image.ts";

Deno.test("copyUnit() is the widest that divides keys and values", () => {
  const cases: [key: number, value: number, unit: number][] = [
    [16, 32, 16],
    [48, 24, 8],
    [24, 48, 8],
    [20, 16, 4],
    [16, 12, 4],
    [10, 16, 2],
    [16, 2, 2],
  ];
  for (const [key, value, unit] of cases) {
    assertEquals(copyUnit({ key, value }), unit, `${key} and ${value}`);
  }
});

Deno.test("copyChunks() bounds the loop of an invocation", () => {
  for (const most of [65535, 7]) {
    for (const units of [1, 8192, 8193, 100_000, 2 ** 28 - 1]) {
      const { chunk, chunks } = copyChunks(units, most);
      assert(chunks <= most, "as many as a grid has room for");
      assert(chunk * chunks >= units, "all of a block");
      assert(chunk * (chunks - 1) < units, "no chunk is empty");
      if (most === 65535) assertEquals(chunk, 128 * 64);
    }
  }
});

const NAME = "KvCache.copy() changes no bit";

gpuTest(NAME, async (_, gpu) => {
  const copies = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), {
    minLength: 1,
    maxLength: 12,
  });
  await checkProperty(
    NAME,
    [layouts(gpu), copies, fc.nat()],
    async (layout, picks, seed) => {
      using cache = await KvCache.create(gpu, layout);
      const image = RawImage.fill(gpu, cache, seed);
      const copies = picks.map(([source, destination, rows]) => ({
        source: source % layout.numBlocks,
        destination: 1 + destination % (layout.numBlocks - 1),
        rows: rows % (layout.blockSize + 1),
      })).filter(({ source, destination }) => source !== destination);
      cache.copy(copies);
      for (const copy of copies) image.copy(image, copy);
      assertEquals((await RawImage.read(gpu, cache)).arenas, image.arenas);
    },
    { runs: 60 },
  );
});

gpuTest("KvCache.copy() copies blocks of several chunks", async (_, gpu) => {
  // 128 units of 16 bytes a row: a block has 10,240 of keys, a chunk 8,192.
  const layout = {
    numBlocks: 4,
    blockSize: 80,
    kvHeads: 8,
    headDim: 64,
    dtype: "f32",
  } as const;
  using cache = await KvCache.create(gpu, layout);
  const image = RawImage.fill(gpu, cache, 5);
  const copies = [
    { source: 1, destination: 2, rows: 80 },
    { source: 1, destination: 3, rows: 70 },
  ];
  cache.copy(copies);
  for (const copy of copies) image.copy(image, copy);
  // Not as a whole: a difference of so many words takes minutes to print.
  const expected = image.arenas.flat();
  const actual = (await RawImage.read(gpu, cache)).arenas.flat();
  assertEquals(actual.length, expected.length);
  actual.forEach((arena, n) => {
    const wrong = arena.findIndex((byte, i) => byte !== expected[n][i]);
    assertEquals(wrong, -1);
  });
});

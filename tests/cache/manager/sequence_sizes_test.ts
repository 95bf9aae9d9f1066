import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockPool, CacheManager } from "../../../src/cache/mod.ts";
import { property } from "../../support/property.ts";

const window = fc.option(fc.nat(9), { nil: undefined });

property(
  "CacheManager.peakBlocks() is what chunks hold at most, and no more",
  [
    fc.record({
      blockSize: fc.integer({ min: 1, max: 5 }),
      windows: fc.array(window, { minLength: 1, maxLength: 2 }),
      length: fc.nat(30),
      chunk: fc.integer({ min: 1, max: 8 }),
    }),
    fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 30, size: "max" }),
  ],
  ({ blockSize, windows, length, chunk }, steps) => {
    const groups = windows.map((left) => left === undefined ? {} : { left });
    const peak = (chunks: readonly number[]) => {
      const pool = new BlockPool({ numBlocks: 99, blockSize });
      const cache = new CacheManager({ pool, groups });
      const { sequence } = cache.create([]);
      for (const step of chunks) {
        const count = Math.min(step, chunk, length - sequence.length);
        cache.reserve(sequence, new Array(count).fill(1));
        cache.commit(sequence);
      }
      return pool.peakUsedBlocks;
    };
    const pool = new BlockPool({ numBlocks: 2, blockSize });
    const promised = new CacheManager({ pool, groups })
      .peakBlocks(length, { chunk });
    assert(peak(steps) <= promised, `${steps}`);
    if (groups.length > 1) return;
    // The largest chunk comes somewhere, one by one before.
    const reached = Array.from(
      { length: Math.max(0, length - chunk) + 1 },
      (_, first) => peak([...new Array(first).fill(1), chunk]),
    );
    assertEquals(Math.max(...reached), promised);
  },
);

Deno.test("CacheManager.peakBlocks() counts room taken ahead", () => {
  const pool = new BlockPool({ numBlocks: 2, blockSize: 2 });
  const blocks = (growth: "page" | "powerOfTwo" | "max", length: number) => {
    const groups = [{}, { left: 1 }];
    const cache = new CacheManager({ pool, growth, groups, maxLength: 14 });
    return cache.peakBlocks(length, { chunk: 1 });
  };
  assertEquals([0, 1, 9, 14].map((n) => blocks("page", n)), [0, 2, 7, 9]);
  assertEquals([0, 1, 9, 14].map((n) => blocks("powerOfTwo", n)), [
    0,
    2,
    14,
    14,
  ]);
  assertEquals([0, 1, 9, 14].map((n) => blocks("max", n)), [0, 14, 14, 14]);
});

Deno.test("CacheManager.peakBlocks() throws on bad sizes", () => {
  const pool = new BlockPool({ numBlocks: 2, blockSize: 2 });
  const cache = new CacheManager({ pool, maxLength: 8 });
  assertEquals([cache.maxLength, cache.peakBlocks(8)], [8, 4]);
  for (const length of [-1, 0.5, NaN, 9]) {
    assertThrows(() => cache.peakBlocks(length), RangeError, "length must");
  }
  assertThrows(() => cache.peakBlocks("1" as never), TypeError, "length must");
  for (const chunk of [0, -1, 1.5]) {
    assertThrows(() => cache.peakBlocks(1, { chunk }), RangeError, "chunk");
  }
});

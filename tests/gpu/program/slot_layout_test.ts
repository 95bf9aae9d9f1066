import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  EMPTY_LAYOUT,
  fitLayout,
  type SlotSizes,
} from "../../../src/gpu/program/slot_layout.ts";
import { property } from "../../support/property.ts";

const limits = {
  minUniformBufferOffsetAlignment: 64,
  minStorageBufferOffsetAlignment: 32,
  maxStorageBufferBindingSize: 1002,
  maxBufferSize: 2048,
} as GPUSupportedLimits;

const sizesOf = (
  uniforms: number,
  words: Record<string, number>,
): SlotSizes => ({
  uniforms,
  words: new Map(Object.entries(words)),
});

property(
  "fitLayout() gives each name room of its own, and none where there is none",
  [fc.array(
    fc.record({
      uniforms: fc.nat(8).map((n) => 64 * n),
      words: fc.dictionary(
        fc.constantFrom("a", "b", "c"),
        fc.nat(250).map((n) => 4 * n),
      ),
    }),
    { minLength: 1, maxLength: 8 },
  )],
  (steps) => {
    let layout = EMPTY_LAYOUT;
    for (const { uniforms, words } of steps) {
      const sizes = sizesOf(uniforms, words);
      const exact = Object.values(words).reduce(
        (sum, bytes) => sum + Math.ceil(Math.max(16, bytes) / 64) * 64,
        uniforms,
      );
      if (exact > limits.maxBufferSize) {
        assertThrows(() => fitLayout(layout, sizes, limits), RangeError);
        continue;
      }
      layout = fitLayout(layout, sizes, limits);
      assert(layout.size >= 16 && layout.size <= limits.maxBufferSize);
      assertEquals(fitLayout(layout, sizes, limits), layout);
      let end = uniforms;
      for (const { offset, size } of layout.words.values()) {
        assert(offset >= end && offset % 64 === 0);
        assert(size <= limits.maxStorageBufferBindingSize);
        end = offset + size;
      }
      assert(end <= layout.size);
      for (const [name, bytes] of sizes.words) {
        assert(layout.words.get(name)!.size >= Math.max(16, bytes));
      }
    }
  },
);

Deno.test("fitLayout() grows by powers of two and keeps what has a place", () => {
  const first = fitLayout(EMPTY_LAYOUT, sizesOf(128, { a: 4, b: 100 }), limits);
  assertEquals(first.words.get("a"), { offset: 128, size: 16 });
  assertEquals(first.words.get("b"), { offset: 192, size: 128 });
  assertEquals(first.size, 320);
  assertEquals(fitLayout(first, sizesOf(64, { b: 128 }), limits), first);
  const second = fitLayout(first, sizesOf(192, { b: 8, c: 0 }), limits);
  assertEquals(second.words.get("a"), { offset: 256, size: 16 });
  assertEquals(second.words.get("c"), { offset: 448, size: 16 });
});

Deno.test("fitLayout() falls back to exact sizes, and throws beyond them", () => {
  const tight = { a: 516, b: 516, c: 516 };
  const { size, words } = fitLayout(EMPTY_LAYOUT, sizesOf(0, tight), limits);
  assertEquals(size, 3 * 576);
  assertEquals(words.get("c"), { offset: 2 * 576, size: 516 });
  assertThrows(
    () => fitLayout(EMPTY_LAYOUT, sizesOf(512, tight), limits),
    RangeError,
    "words must need <= maxBufferSize (2048 bytes) with the uniforms: current value is 2240",
  );
});

Deno.test("fitLayout() makes room for nothing too", () => {
  const layout = fitLayout(EMPTY_LAYOUT, sizesOf(0, {}), limits);
  assertEquals(layout.size, 16);
});

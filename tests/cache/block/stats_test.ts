import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { footprints, sharing } from "../../../src/cache/mod.ts";
import { property } from "../../support/property.ts";

Deno.test("footprints() counts slots and blocks of each policy", () => {
  assertEquals(
    footprints({ lengths: [0, 1, 5, 16, 33], blockSize: 16, maxLength: 50 }),
    {
      tokens: 55,
      paged: { slots: 96, blocks: 6 },
      max: { slots: 250, blocks: 20 },
      pow2: { slots: 0 + 1 + 8 + 16 + 50, blocks: 0 + 1 + 1 + 1 + 4 },
      exact: { slots: 55, blocks: 6 },
    },
  );
});

Deno.test("footprints() of no sequences is nothing", () => {
  const none = { slots: 0, blocks: 0 };
  assertEquals(footprints({ lengths: [], blockSize: 4, maxLength: 9 }), {
    tokens: 0,
    paged: none,
    max: none,
    pow2: none,
    exact: none,
  });
});

Deno.test("footprints() throws on bad sizes", () => {
  const of = (lengths: number[], blockSize: number, maxLength: number) => () =>
    footprints({ lengths, blockSize, maxLength });
  assertThrows(of([1], 0, 9), RangeError, "blockSize must");
  assertThrows(of([1], 4, -1), RangeError, "maxLength must");
  assertThrows(of([1, -1], 4, 9), RangeError, "lengths[1] must");
  assertThrows(of([10], 4, 9), RangeError, "lengths[0] must be at most");
});

property(
  "footprints() pages waste less than a block a sequence, and never more than the maximum",
  [
    fc.array(fc.nat(300)),
    fc.integer({ min: 1, max: 40 }),
    fc.nat(50),
  ],
  (lengths, blockSize, room) => {
    const maxLength = Math.max(0, ...lengths) + room;
    const { tokens, paged, max, pow2, exact } = footprints({
      lengths,
      blockSize,
      maxLength,
    });
    const started = lengths.filter((n) => n > 0).length;
    assert(paged.slots - tokens <= started * (blockSize - 1));
    assertEquals(paged.slots, paged.blocks * blockSize);
    assert(tokens === exact.slots && exact.slots <= pow2.slots);
    assert(pow2.slots <= Math.min(max.slots, Math.max(0, 2 * tokens)));
    assert(paged.blocks <= max.blocks);
  },
);

Deno.test("sharing() counts logical, unique and shared blocks", () => {
  assertEquals(sharing([[1, 2, 3], [1, 2, 4], [1], []]), {
    logicalBlocks: 7,
    uniqueBlocks: 4,
    sharedBlocks: 2,
    saved: 1 - 4 / 7,
  });
  assertEquals(sharing([]), {
    logicalBlocks: 0,
    uniqueBlocks: 0,
    sharedBlocks: 0,
    saved: 0,
  });
});

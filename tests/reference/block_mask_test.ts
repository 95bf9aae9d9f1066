import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { blockMask, type TileKind } from "../../reference/mod.ts";
import { property } from "../support/property.ts";
import { coin, MASKS } from "./cases.ts";

Deno.test("blockMask() of a causal mask is a staircase", () => {
  const shape = { queryLength: 5, keyLength: 7, rows: 2, keys: 3 };
  // Queries 0..4 stand at positions 2..6.
  assertEquals(blockMask({ ...shape, mask: MASKS.causal }), [
    ["all", "some", "none"],
    ["all", "some", "none"],
    ["all", "all", "all"],
  ]);
});

Deno.test("blockMask() takes offset, batch and head", () => {
  const shape = { queryLength: 2, keyLength: 4, rows: 2, keys: 2 };
  const { causal } = MASKS;
  const kinds = blockMask({ ...shape, mask: causal, queryOffset: 0 });
  assertEquals(kinds, [["some", "none"]]);
  const mask = (b: number, h: number) => b === 1 && h === 2;
  assertEquals(blockMask({ ...shape, mask }), [["none", "none"]]);
  assertEquals(blockMask({ ...shape, mask, batch: 1, head: 2 }), [
    ["all", "all"],
  ]);
});

Deno.test("blockMask() has no tiles where there is nothing", () => {
  const shape = { rows: 2, keys: 2, mask: () => true };
  assertEquals(blockMask({ ...shape, queryLength: 0, keyLength: 3 }), []);
  assertEquals(blockMask({ ...shape, queryLength: 3, keyLength: 0 }), [[], []]);
});

Deno.test("blockMask() refuses empty tiles", () => {
  const shape = { queryLength: 1, keyLength: 1, mask: () => true };
  const call = () => blockMask({ ...shape, rows: 0, keys: 1 });
  assertThrows(call, RangeError, "rows must be an integer >= 1");
});

const size = fc.integer({ min: 1, max: 6 });

property(
  "blockMask() agrees with every pair",
  [fc.nat(9), fc.nat(9), size, size, fc.nat(99)],
  (queryLength, keyLength, rows, keys, seed) => {
    const mask = (_b: number, _h: number, i: number, j: number) =>
      coin(seed, i >> 2, j >> 2);
    const offset = keyLength - queryLength;
    const tiles = blockMask({ mask, queryLength, keyLength, rows, keys });
    const kinds = new Map<string, Set<boolean>>();
    for (let i = 0; i < queryLength; i++) {
      for (let j = 0; j < keyLength; j++) {
        const tile = `${Math.floor(i / rows)} ${Math.floor(j / keys)}`;
        if (!kinds.has(tile)) kinds.set(tile, new Set());
        kinds.get(tile)!.add(mask(0, 0, i + offset, j));
      }
    }
    for (const [tile, answers] of kinds) {
      const [row, column] = tile.split(" ").map(Number);
      const pure: TileKind = answers.has(true) ? "all" : "none";
      const kind = answers.size === 2 ? "some" : pure;
      assertEquals(tiles[row][column], kind, `tile ${tile}`);
    }
    assertEquals(tiles.flat().length, kinds.size);
  },
);

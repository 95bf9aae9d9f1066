import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { TilingMask } from "../../src/planning/mod.ts";
import { property } from "../support/property.ts";

const size = fc.integer({ min: 1, max: 12 });

property(
  "TilingMask is the causal or window mask of every tile, for every offset",
  [
    size,
    size,
    fc.integer({ min: -40, max: 40 }),
    fc.option(fc.nat(30), { nil: undefined }),
    fc.nat(9),
  ],
  (rows, keys, queryOffset, left, right) => {
    const mask = new TilingMask({ rows, keys });
    const side = Math.max(rows, keys);
    assertEquals(mask.elements, 4 * side * side);
    const band = { queryOffset, right, ...(left !== undefined && { left }) };
    for (let rowTile = 0; rowTile < 4; rowTile++) {
      for (let keyTile = 0; keyTile < 5; keyTile++) {
        let seen = 0;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < keys; column++) {
            const position = rowTile * rows + row + queryOffset;
            const key = keyTile * keys + column;
            const expected = key <= position + right &&
              (left === undefined || key >= position - left);
            const tile = { rowTile, keyTile, row, column };
            assertEquals(mask.sees(tile, band), expected);
            if (expected) seen++;
          }
        }
        const kind = mask.classify(rowTile, keyTile, band);
        if (kind === "full") assertEquals(seen, rows * keys);
        if (kind === "empty") assertEquals(seen, 0);
        // Only a window may leave a tile without a key and not know it.
        if (left === undefined && kind === "diagonal") {
          assertEquals(seen > 0 && seen < rows * keys, true);
        }
      }
    }
  },
  { runs: 60 },
);

Deno.test("TilingMask takes memory that no length changes", () => {
  const mask = new TilingMask({ rows: 64, keys: 64 });
  assertEquals(mask.elements, 128 * 128);
  assertEquals(mask.slice(1_000_000, 0), { row: 64, column: 0 });
  assertEquals(mask.slice(0, 1_000_000), { row: 0, column: 64 });
  assertEquals(mask.classify(1_000_000, 0), "full");
  assertEquals(mask.classify(0, 1_000_000), "empty");
});

Deno.test("TilingMask refuses what is out of range", () => {
  const mask = new TilingMask({ rows: 4, keys: 8 });
  const tile = { rowTile: 0, keyTile: 0, row: 0, column: 0 };
  assertThrows(() => new TilingMask({ rows: 0, keys: 1 }), RangeError, "rows");
  assertThrows(() => mask.sees({ ...tile, row: 4 }), RangeError, "in 0..3");
  assertThrows(() => mask.sees({ ...tile, column: 8 }), RangeError, "column");
  assertThrows(() => mask.sees(tile, { left: -1 }), RangeError, "left");
  assertThrows(() => mask.classify(0, 0, { left: -1 }), RangeError, "left");
  assertThrows(() => mask.sees(tile, { right: -1 }), RangeError, "right");
  assertThrows(() => mask.slice(-1, 0), RangeError, "rowTile");
});

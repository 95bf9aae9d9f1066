import { assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  BlockTable,
  packHeadTables,
} from "../../../src/cache/mod.ts";

function makeTables(lengths: number[][]) {
  const pool = new BlockPool({ numBlocks: 32, blockSize: 4 });
  return lengths.map((heads) =>
    heads.map((length) => {
      const table = new BlockTable(pool);
      table.reserve(length);
      return table;
    })
  );
}

Deno.test("packHeadTables() packs a row for each head of each sequence", () => {
  const tables = makeTables([[6, 2], [1, 9]]);
  const packed = packHeadTables(tables);
  assertEquals(packed, {
    // deno-fmt-ignore
    blockTable: Uint32Array.of(
      1, 2, 0,
      3, 0, 0,
      4, 0, 0,
      5, 6, 7,
    ),
    lengths: Uint32Array.of(6, 2, 1, 9),
    sequences: 2,
    heads: 2,
    maxBlocks: 3,
  });
  const { blockTable, heads, maxBlocks } = packed;
  const slot = (b: number, h: number, j: number) =>
    blockTable[(b * heads + h) * maxBlocks + Math.floor(j / 4)] * 4 + j % 4;
  tables.forEach((row, b) =>
    row.forEach((table, h) => {
      for (let j = 0; j < table.length; j++) {
        assertEquals(slot(b, h, j), table.slot(j));
      }
    })
  );
});

Deno.test("packHeadTables() takes no sequences, and more columns", () => {
  const none = packHeadTables([]);
  assertEquals([none.sequences, none.heads, none.maxBlocks], [0, 0, 0]);
  assertEquals(
    packHeadTables(makeTables([[1]]), { maxBlocks: 3 }).blockTable,
    Uint32Array.of(1, 0, 0),
  );
});

Deno.test("packHeadTables() throws on bad arguments", () => {
  const tables = makeTables([[6, 2], [1]]);
  assertThrows(
    () => packHeadTables(tables),
    RangeError,
    "tables[1].length must be that of tables[0], 2: current value is 1",
  );
  assertThrows(() => packHeadTables(3 as never), TypeError, "tables must");
  assertThrows(() => packHeadTables([3] as never), TypeError, "tables[0] must");
  assertThrows(
    () => packHeadTables([tables[0], makeTables([[1, 1]])[0]]),
    TypeError,
    "same pool",
  );
});

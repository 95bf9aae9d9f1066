import { assertEquals, assertThrows } from "@std/assert";
import { BlockPool, BlockTable, packTables } from "../../../src/cache/mod.ts";

function makeTables(lengths: number[], blockSize = 4) {
  const pool = new BlockPool({ numBlocks: 64, blockSize });
  return lengths.map((length) => {
    const table = new BlockTable(pool);
    table.reserve(length);
    return table;
  });
}

Deno.test("packTables() pads with the null block to the longest", () => {
  assertEquals(packTables(makeTables([6, 0, 1, 9])), {
    // deno-fmt-ignore
    blockTable: Uint32Array.of(
      1, 2, 0,
      0, 0, 0,
      3, 0, 0,
      4, 5, 6,
    ),
    lengths: Uint32Array.of(6, 0, 1, 9),
    sequences: 4,
    maxBlocks: 3,
  });
});

Deno.test("packTables() pads to maxBlocks", () => {
  const packed = packTables(makeTables([5, 1]), { maxBlocks: 4 });
  assertEquals(
    packed.blockTable,
    Uint32Array.of(1, 2, 0, 0, 3, 0, 0, 0),
  );
  assertEquals(packed.maxBlocks, 4);
});

Deno.test("packTables() takes one sequence twice, and none at all", () => {
  const [table] = makeTables([5]);
  assertEquals(
    packTables([table, table]).blockTable,
    Uint32Array.of(1, 2, 1, 2),
  );
  assertEquals(packTables([]), {
    blockTable: new Uint32Array(),
    lengths: new Uint32Array(),
    sequences: 0,
    maxBlocks: 0,
  });
});

Deno.test("packTables() throws on bad arguments", () => {
  const tables = makeTables([5, 1]);
  const pack = (maxBlocks: number) => () => packTables(tables, { maxBlocks });
  assertThrows(pack(1), RangeError, "maxBlocks must be at least the 2 blocks");
  assertThrows(pack(2.5), RangeError, "maxBlocks must");
  assertThrows(pack(2 ** 32), RangeError, "tables.length * maxBlocks must");
  assertThrows(pack("2" as never), TypeError, "maxBlocks must");
  assertThrows(
    () => packTables({} as never),
    TypeError,
    "tables must be an array",
  );
  assertThrows(
    () => packTables([tables[0], {} as never]),
    TypeError,
    "tables[1] must be a BlockTable",
  );
  assertThrows(
    () => packTables([...tables, ...makeTables([1])]),
    TypeError,
    "tables[2] must be of the same pool",
  );
  tables[1].free();
  assertThrows(() => packTables(tables), TypeError, "as it is freed");
});

/** Blocks given up in the middle of a table. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockPool, BlockTable, packTables } from "../../../src/cache/mod.ts";
import { property } from "../../support/property.ts";

function tableOf(length: number) {
  const pool = new BlockPool({ numBlocks: 20, blockSize: 4 });
  const table = new BlockTable(pool);
  table.reserve(length);
  table.commit();
  return { pool, table };
}

Deno.test("BlockTable.drop() gives blocks back, the last first", () => {
  const { pool, table } = tableOf(22);
  assertEquals(table.drop([1, 3, 1]), 2);
  assertEquals(table.blocks, [1, 0, 3, 0, 5, 6]);
  assertEquals(pool.freeOrder().slice(-2), [4, 2]);
  assertEquals([table.length, table.capacity, table.dropped], [22, 24, 0]);
  assertEquals(table.drop([1, 2]), 1);
  assertEquals(
    packTables([table]).blockTable,
    Uint32Array.of(1, 0, 0, 0, 5, 6),
  );
  pool.verify();
  // The first holes become the start that is gone.
  assertEquals(table.drop([0]), 1);
  assertEquals(table.dropped, 16);
  assertEquals(table.slot(16), 5 * 4);
  assertEquals(table.drop([]), 0);
  table.free();
  assertEquals(pool.usedBlocks, 0);
  pool.verify();
});

Deno.test("BlockTable.dropBefore() passes over what is gone", () => {
  const { pool, table } = tableOf(22);
  table.drop([1, 2, 4]);
  assertEquals(table.dropBefore(8), 1);
  // Block 2 was gone already.
  assertEquals(table.dropped, 12);
  assertEquals(table.dropBefore(8), 0);
  assertEquals(table.dropped, 12);
  assertEquals(table.dropBefore(16), 1);
  assertEquals([table.dropped, pool.usedBlocks], [20, 1]);
});

Deno.test("BlockTable.fork() shares what is left, and each drops its own", () => {
  const { pool, table } = tableOf(12);
  table.drop([0]);
  const fork = table.fork();
  assertEquals([fork.blocks, fork.dropped], [[0, 2, 3], 4]);
  fork.drop([1]);
  assertEquals([1, 2, 3].map((id) => pool.refCount(id)), [0, 1, 2]);
  assertEquals([table.blocks, fork.blocks], [[0, 2, 3], [0, 0, 3]]);
  assertEquals(table.detach(), [2, 3]);
  fork.free();
  assertEquals(pool.usedBlocks, 2);
});

Deno.test("BlockTable.truncate() ends in no block that is gone", () => {
  const { pool, table } = tableOf(18);
  table.drop([2]);
  for (const length of [9, 11]) {
    assertThrows(
      () => table.truncate(length),
      RangeError,
      `length must not be in a block that was dropped: current value is ${length}`,
    );
  }
  assertEquals([table.length, table.blocks], [18, [1, 2, 0, 4, 5]]);
  table.truncate(13);
  table.truncate(12);
  assertEquals(table.blocks, [1, 2, 0]);
  assertEquals(table.reserve(1).slots, Uint32Array.of(24));
  table.truncate(8);
  assertEquals(table.blocks, [1, 2]);
  pool.verify();
});

Deno.test("BlockTable.adopt() takes tables with holes over", () => {
  const { pool, table } = tableOf(18);
  table.drop([0, 2]);
  const { blocks } = table;
  table.detach();
  const again = BlockTable.adopt(pool, blocks, { length: 18 });
  assertEquals([again.blocks, again.dropped], [[0, 2, 0, 4, 5], 4]);
  assertThrows(
    () => BlockTable.adopt(pool, [2, 0], { length: 7 }),
    RangeError,
    "length must not be in a block that was dropped",
  );
  assertThrows(
    () => BlockTable.adopt(pool, [2, 0, 9], { length: 12 }),
    RangeError,
    "blocks must be in use: current value is 9",
  );
});

Deno.test("BlockTable.drop() refuses what is not written, and changes nothing", () => {
  const { pool, table } = tableOf(10);
  table.reserve(6);
  // Blocks 2 and 3 have slots, and tokens that are not committed.
  for (const index of [2, 3, 4, -1, 0.5]) {
    assertThrows(() => table.drop([0, index]), RangeError, "indices must be");
  }
  assertThrows(() => table.drop(["0" as never]), TypeError, "indices must be");
  assertEquals(table.blocks, [1, 2, 3, 4]);
  assertThrows(() => table.slot(16), RangeError);
  table.drop([1]);
  assertThrows(
    () => table.slot(5),
    RangeError,
    "position must not be in a block that was dropped: current value is 5",
  );
  assertEquals(table.blockAt(5), 0);
  table.free();
  assertThrows(() => table.drop([]), TypeError, "freed");
  pool.verify();
});

type Step = readonly [kind: "add" | "drop" | "before" | "cut", at: number];

property(
  "a table with holes is a list of tokens, some of them gone",
  [
    fc.array(
      fc.tuple(
        fc.constantFrom("add", "add", "drop", "drop", "before", "cut"),
        fc.nat(40),
      ),
      { maxLength: 20 },
    ) as fc.Arbitrary<Step[]>,
  ],
  (steps) => {
    const size = 3;
    const pool = new BlockPool({ numBlocks: 400, blockSize: size });
    const table = new BlockTable(pool);
    // The slot of each token, or nothing where its block is gone.
    let slots: (number | undefined)[] = [];
    const drop = (index: number) => {
      for (let i = 0; i < size; i++) slots[index * size + i] = undefined;
    };
    for (const [kind, at] of steps) {
      const full = Math.floor(slots.length / size);
      if (kind === "add") {
        slots.push(...table.reserve(at % 8).slots);
        table.commit();
      } else if (kind === "drop" && full > 0) {
        table.drop([at % full]);
        drop(at % full);
      } else if (kind === "before") {
        const position = at % (slots.length + 1);
        table.dropBefore(position);
        for (let i = 0; i < Math.floor(position / size); i++) drop(i);
      } else if (kind === "cut") {
        const length = at % (slots.length + 1);
        const gone = slots.slice(0, length).lastIndexOf(undefined);
        const first = slots.findIndex((slot) => slot !== undefined);
        const leading = first < 0 ? full * size : first;
        if (length < leading || (length % size && gone === length - 1)) {
          assertThrows(() => table.truncate(length), RangeError, "length must");
        } else {
          table.truncate(length);
          slots = slots.slice(0, length);
        }
      }
      pool.verify();
      assertEquals(table.length, slots.length);
      slots.forEach((slot, i) => {
        if (slot === undefined) {
          assertEquals(table.blockAt(i), 0);
          assertThrows(() => table.slot(i), RangeError);
        } else assertEquals(table.slot(i), slot);
      });
      const live = new Set(
        slots.flatMap((slot) =>
          slot === undefined ? [] : [Math.floor(slot / size)]
        ),
      );
      assertEquals(pool.usedBlocks, live.size);
    }
    table.free();
    assertEquals(pool.usedBlocks, 0);
  },
  { runs: 200 },
);

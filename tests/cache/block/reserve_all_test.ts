/**
 * Reservations in several tables at once take what they take one by one, or
 * nothing.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BlockPool,
  BlockTable,
  OutOfBlocksError,
  PrefixIndex,
} from "../../../src/cache/mod.ts";
import {
  blocksForEach,
  reserveAll,
} from "../../../src/cache/block/reserve_all.ts";
import { property } from "../../support/property.ts";

interface World {
  readonly pool: BlockPool;
  readonly tables: BlockTable[];
}

/** Tables of which each is new, or a fork of an earlier one that went on. */
function world(
  sizes: readonly (readonly [parent: number, cut: number, count: number])[],
  cached: boolean,
): World {
  const pool = new BlockPool({ numBlocks: 40, blockSize: 3 });
  const cursor = cached ? new PrefixIndex(pool).cursor() : undefined;
  const tables: BlockTable[] = [];
  for (const [parent, cut, count] of sizes) {
    const table = tables.length > 0 && parent % 3 > 0
      ? tables[parent % tables.length].fork()
      : new BlockTable(pool);
    table.truncate(Math.max(0, table.length - cut));
    table.reserve(count);
    tables.push(table);
  }
  // A block that an index finds is copied even by its only holder.
  if (tables[0].length >= 3) cursor?.advance([1, 2, 3], tables[0].blockAt(0));
  tables[0].truncate(Math.min(tables[0].length, 2));
  return { pool, tables };
}

const sizes = fc.array(fc.tuple(fc.nat(9), fc.nat(4), fc.nat(5)), {
  minLength: 1,
  maxLength: 5,
});
const counts = fc.array(fc.nat(7), { minLength: 5, maxLength: 5 });

property(
  "reserveAll() takes what its tables take one by one, and no block more",
  [sizes, counts, fc.boolean()],
  (sizes, counts, cached) => {
    const [alone, together] = [world(sizes, cached), world(sizes, cached)];
    const requests = together.tables.map((table, i) => ({
      table,
      count: counts[i],
    }));
    const needs = blocksForEach(requests);
    const expected = alone.tables.map((table, i) => {
      assertEquals(needs[i], table.blocksNeeded(counts[i]));
      const { slots, copies } = table.reserve(counts[i]);
      return { count: slots.length, rows: copies.map(({ rows }) => rows) };
    });
    const made = reserveAll(requests);
    assertEquals(
      made.map(({ slots, copies }) => ({
        count: slots.length,
        rows: copies.map(({ rows }) => rows),
      })),
      expected,
    );
    together.tables.forEach((table, i) => {
      assertEquals(table.length, alone.tables[i].length);
      assertEquals(table.capacity, alone.tables[i].capacity);
      assertEquals(
        [...made[i].slots],
        Array.from(
          { length: counts[i] },
          (_, n) => table.slot(table.length - counts[i] + n),
        ),
      );
    });
    const held = together.tables.flatMap(({ blocks }) => [...blocks]);
    for (const id of held) {
      const holders = held.filter((other) => other === id).length;
      assertEquals(together.pool.refCount(id), holders, `block ${id}`);
    }
    assertEquals(together.pool.freeBlocks, alone.pool.freeBlocks);
    together.pool.verify();
  },
);

Deno.test("reserveAll() reserves nothing where there is not room for all", () => {
  const pool = new BlockPool({ numBlocks: 5, blockSize: 2 });
  const tables = [new BlockTable(pool), new BlockTable(pool)];
  tables[0].reserve(3);
  const order = pool.freeOrder();
  const reserve = (...counts: number[]) => () =>
    reserveAll(counts.map((count, i) => ({ table: tables[i], count })));
  const error = assertThrows(reserve(1, 5), OutOfBlocksError);
  assertEquals([error.needed, error.free], [3, 2]);
  assertThrows(reserve(1, -1), RangeError, "count must");
  assertThrows(reserve(1, "1" as never), TypeError, "count must");
  assertEquals(tables.map(({ length }) => length), [3, 0]);
  assertEquals(pool.freeOrder(), order);
  assertEquals(reserve(1, 4)().map(({ slots }) => [...slots]), [
    [5],
    [6, 7, 8, 9],
  ]);
  assertEquals(reserveAll([]), []);
});

Deno.test("reserveAll() lets the last holder of a block keep it", () => {
  const pool = new BlockPool({ numBlocks: 4, blockSize: 4 });
  const table = new BlockTable(pool);
  table.reserve(3);
  const forks = [table, table.fork(), table.fork()];
  // Two copies and one that stays: exactly the blocks that there are.
  const made = reserveAll(forks.map((table) => ({ table, count: 1 })));
  assertEquals(made.map(({ copies }) => copies.length), [1, 1, 0]);
  assertEquals(pool.freeBlocks, 0);
  pool.verify();
});

import { assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  BlockTable,
  ContiguousSequence,
  ExtentPool,
  OutOfBlocksError,
} from "../../../src/cache/mod.ts";

/** A pool in which extents of the given blocks follow one another. */
function filled(...blocks: number[]) {
  const pool = new ExtentPool({ numBlocks: 12, blockSize: 4 });
  const extents = blocks.map((blocks) =>
    pool.allocate({ blocks, tokens: Math.max(0, 4 * blocks - 1) })
  );
  return { pool, extents };
}

Deno.test("ExtentPool.allocate() gives extents from the start", () => {
  const { pool, extents } = filled(3, 0, 2);
  assertEquals(extents.map(({ start }) => start), [0, 0, 3]);
  assertEquals([pool.usedBlocks, pool.freeBlocks, pool.largestFree], [5, 7, 7]);
  pool.verify();
});

Deno.test("ExtentPool.allocate() takes the shortest run, wherever it is", () => {
  const { pool, extents } = filled(4, 1, 2, 5);
  for (const i of [0, 2]) pool.release(extents[i]);
  const empty = pool.allocate({ blocks: 0, tokens: 0 });
  assertEquals(pool.resize(empty, { blocks: 2, tokens: 0 }), []);
  assertEquals(empty.start, 5);
  assertEquals(pool.allocate({ blocks: 2, tokens: 0 }).start, 0);
});

Deno.test("ExtentPool.resize() grows in place where it can", () => {
  const { pool, extents: [first, second] } = filled(3, 2);
  assertEquals(pool.resize(second, { blocks: 9, tokens: 33 }), []);
  assertEquals([first.start, second.start], [0, 3]);
  assertEquals(pool.freeBlocks, 0);
  pool.verify();
});

Deno.test("ExtentPool.resize() moves to the shortest run that is enough", () => {
  const { pool, extents: [first, gap, ...others] } = filled(1, 3, 1, 2, 1);
  pool.release(gap);
  // Free: 1..3 and 8..11.
  assertEquals(pool.resize(others[0], { blocks: 3, tokens: 9 }), [
    { source: 4, destination: 1, rows: 3 },
  ]);
  assertEquals(pool.resize(first, { blocks: 3, tokens: 3 }), [
    { source: 0, destination: 8, rows: 3 },
  ]);
  assertEquals(pool.freeRuns(), [
    { start: 0, blocks: 1 },
    { start: 4, blocks: 1 },
    { start: 11, blocks: 1 },
  ]);
  const { relocations, relocated, external } = pool.stats();
  assertEquals([relocations, relocated, external], [2, 6, 8]);
  pool.verify();
});

Deno.test("ExtentPool.resize() moves over its own blocks, forward", () => {
  const { pool, extents: [gap, extent] } = filled(1, 3, 8);
  pool.release(gap);
  assertEquals(pool.resize(extent, { blocks: 4, tokens: 13 }), [
    { source: 1, destination: 0, rows: 4 },
    { source: 2, destination: 1, rows: 4 },
    { source: 3, destination: 2, rows: 3 },
  ]);
  pool.verify();
});

Deno.test("ExtentPool.resize() copies no more than stays written", () => {
  const { pool, extents: [extent] } = filled(2, 1);
  assertEquals(pool.resize(extent, { blocks: 3, tokens: 5 }), [
    { source: 0, destination: 3, rows: 4 },
    { source: 1, destination: 4, rows: 1 },
  ]);
});

Deno.test("ExtentPool.compact() makes one run of all that is free", () => {
  const { pool, extents } = filled(1, 2, 1, 3, 2);
  for (const i of [0, 2]) pool.release(extents[i]);
  const error = assertThrows(
    () => pool.allocate({ blocks: 5, tokens: 0 }),
    OutOfBlocksError,
    "Cannot allocate blocks: 5 needed, 5 free, 3 in one run, 0 evictable",
  ) as OutOfBlocksError;
  assertEquals([error.needed, error.free, error.largest], [5, 5, 3]);
  assertEquals(pool.compact(), [
    { source: 1, destination: 0, rows: 4 },
    { source: 2, destination: 1, rows: 3 },
    { source: 4, destination: 2, rows: 4 },
    { source: 5, destination: 3, rows: 4 },
    { source: 6, destination: 4, rows: 3 },
    { source: 7, destination: 5, rows: 4 },
    { source: 8, destination: 6, rows: 3 },
  ]);
  assertEquals(pool.allocate({ blocks: 5, tokens: 0 }).start, 7);
  assertEquals(pool.compact(), []);
  pool.verify();
});

Deno.test("ExtentPool refuses sizes that cannot be", () => {
  for (const numBlocks of [0, -1, 1.5, 2 ** 31]) {
    assertThrows(
      () => new ExtentPool({ numBlocks }),
      RangeError,
      "numBlocks must be an integer in 1..2147483647",
    );
  }
  assertThrows(
    () => new ExtentPool({ numBlocks: 4, blockSize: 0 }),
    RangeError,
    "blockSize",
  );
  assertThrows(
    () => new ExtentPool({ numBlocks: 2 ** 30, blockSize: 8 }),
    RangeError,
    "numBlocks * blockSize must be at most 2**32",
  );
  assertThrows(
    () => new ExtentPool({ numBlocks: "4" as never }),
    TypeError,
    "numBlocks",
  );
  const { pool } = filled(1);
  assertThrows(
    () => pool.allocate({ blocks: 2, tokens: 9 }),
    RangeError,
    "tokens must be at most what 2 blocks hold: current value is 9",
  );
});

Deno.test("ExtentPool refuses extents that it does not have", () => {
  const { pool, extents: [extent] } = filled(2);
  const { extents: [stranger] } = filled(2);
  pool.release(extent);
  for (const bad of [extent, stranger, null as never]) {
    const size = { blocks: 1, tokens: 1 };
    for (
      const call of [() => pool.release(bad), () => pool.resize(bad, size)]
    ) {
      assertThrows(call, TypeError, "extent must be an extent of the pool");
    }
  }
  assertEquals(pool.freeBlocks, 12);
  pool.verify();
});

Deno.test("ContiguousSequence() refuses pools and policies that it cannot use", () => {
  const pool = new ExtentPool({ numBlocks: 4 });
  const make = (growth: object, of: unknown = pool) => () =>
    new ContiguousSequence(of as ExtentPool, growth);
  assertThrows(make({}, new BlockPool({ numBlocks: 4 })), TypeError, "pool");
  assertThrows(make({}, null), TypeError, "pool must be an ExtentPool");
  assertThrows(make({ policy: "none" }), TypeError, "policy");
  assertThrows(make({ policy: "max" }), RangeError, "maxLength");
  assertThrows(make({ maxLength: 1.5 }), RangeError, "maxLength");
  pool.verify();
  assertEquals(pool.stats().extents, 0);
});

Deno.test("ContiguousSequence has the slots that a table would have in order", () => {
  const pool = new ExtentPool({ numBlocks: 6, blockSize: 4 });
  const table = new BlockTable(new BlockPool({ numBlocks: 7, blockSize: 4 }));
  const sequence = new ContiguousSequence(pool);
  for (const count of [3, 1, 0, 7]) {
    const expected = table.reserve(count).slots.map((slot) => slot - 4);
    assertEquals(sequence.reserve(count).slots, expected);
  }
  assertEquals(sequence.length, table.length);
  assertEquals(sequence.pool, pool);
});

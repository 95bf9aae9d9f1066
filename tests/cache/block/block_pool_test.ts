import { assertEquals, assertThrows } from "@std/assert";
import { BlockPool, OutOfBlocksError } from "../../../src/cache/mod.ts";

Deno.test("BlockPool() starts with every block but the null block free", () => {
  const pool = new BlockPool({ numBlocks: 5 });
  assertEquals(pool.blockSize, 16);
  assertEquals(pool.totalBlocks, 4);
  assertEquals(pool.freeBlocks, 4);
  assertEquals(pool.usedBlocks, 0);
  assertEquals(pool.peakUsedBlocks, 0);
  assertEquals(pool.freeOrder(), [1, 2, 3, 4]);
  pool.verify();
});

Deno.test("BlockPool.allocate() of a fresh pool gives 1, 2, 3, ...", () => {
  const pool = new BlockPool({ numBlocks: 6 });
  assertEquals(pool.allocate(0), []);
  assertEquals(pool.allocate(3), [1, 2, 3]);
  assertEquals(pool.allocate(2), [4, 5]);
  assertEquals([0, 1, 5].map((id) => pool.refCount(id)), [0, 1, 1]);
  pool.verify();
});

Deno.test("BlockPool.release() frees in the order given, to the back", () => {
  const pool = new BlockPool({ numBlocks: 11 });
  pool.allocate(7);
  for (const id of [4, 5, 6, 3, 2, 1]) pool.release(id);
  assertEquals(pool.freeOrder(), [8, 9, 10, 4, 5, 6, 3, 2, 1]);
  assertEquals(pool.allocate(5), [8, 9, 10, 4, 5]);
  pool.verify();
});

Deno.test("BlockPool.retain() keeps a block until its last release", () => {
  const pool = new BlockPool({ numBlocks: 3 });
  const [id] = pool.allocate(1);
  pool.retain(id);
  assertEquals(pool.refCount(id), 2);
  pool.release(id);
  assertEquals([pool.refCount(id), pool.usedBlocks], [1, 1]);
  pool.release(id);
  assertEquals([pool.refCount(id), pool.usedBlocks], [0, 0]);
  assertEquals(pool.freeOrder(), [2, 1]);
  pool.verify();
});

Deno.test("BlockPool.peakUsedBlocks keeps the most ever in use", () => {
  const pool = new BlockPool({ numBlocks: 6 });
  const ids = pool.allocate(4);
  ids.forEach((id) => pool.release(id));
  pool.allocate(2);
  assertEquals([pool.usedBlocks, pool.peakUsedBlocks], [2, 4]);
});

Deno.test("BlockPool.allocate() throws and hands out nothing when short", () => {
  const pool = new BlockPool({ numBlocks: 5 });
  pool.allocate(1);
  const error = assertThrows(() => pool.allocate(4), OutOfBlocksError);
  assertEquals([error.needed, error.free, error.evictable], [4, 3, 0]);
  assertEquals(error.name, "OutOfBlocksError");
  assertEquals(pool.freeOrder(), [2, 3, 4]);
  assertEquals([pool.usedBlocks, pool.peakUsedBlocks], [1, 1]);
  assertEquals(pool.allocate(3), [2, 3, 4]);
  pool.verify();
});

Deno.test("BlockPool() of two blocks has one to give", () => {
  const pool = new BlockPool({ numBlocks: 2, blockSize: 1 });
  assertEquals(pool.allocate(1), [1]);
  assertThrows(() => pool.allocate(1), OutOfBlocksError);
  pool.release(1);
  assertEquals(pool.allocate(1), [1]);
});

Deno.test("BlockPool.release() throws on a double free", () => {
  const pool = new BlockPool({ numBlocks: 4 });
  pool.allocate(2);
  pool.release(2);
  assertThrows(
    () => pool.release(2),
    RangeError,
    "id must be a block in use: current value is 2",
  );
  assertEquals(pool.freeOrder(), [3, 2]);
  pool.verify();
});

Deno.test("BlockPool never takes the null block, nor unknown ones", () => {
  const pool = new BlockPool({ numBlocks: 4 });
  for (const id of [0, -1, 4, 1.5, NaN]) {
    assertThrows(() => pool.retain(id), RangeError, "id must");
    assertThrows(() => pool.release(id), RangeError, "id must");
  }
  assertThrows(() => pool.retain(1), RangeError, "in use");
  assertThrows(() => pool.refCount(4), RangeError, "id must");
  assertThrows(() => pool.refCount("1" as never), TypeError, "id must");
  assertThrows(() => pool.release("1" as never), TypeError, "id must");
  assertEquals(pool.freeOrder(), [1, 2, 3]);
  pool.verify();
});

Deno.test("BlockPool.allocate() throws on a bad count", () => {
  const pool = new BlockPool({ numBlocks: 4 });
  for (const count of [-1, 0.5, NaN, Infinity]) {
    assertThrows(() => pool.allocate(count), RangeError, "count must");
  }
  assertThrows(() => pool.allocate("1" as never), TypeError, "count must");
  pool.verify();
});

Deno.test("BlockPool() throws on bad sizes", () => {
  const make = (numBlocks: number, blockSize?: number) => () =>
    new BlockPool({
      numBlocks,
      ...(blockSize === undefined ? {} : { blockSize }),
    });
  for (const numBlocks of [1, 0, -1, 2.5, NaN, 2 ** 31]) {
    assertThrows(make(numBlocks), RangeError, "numBlocks must");
  }
  for (const blockSize of [0, -1, 1.5]) {
    assertThrows(make(2, blockSize), RangeError, "blockSize must");
  }
  assertThrows(
    make(3, 2 ** 31),
    RangeError,
    "numBlocks * blockSize must be at most 2**32",
  );
  assertEquals(make(2, 2 ** 31)().blockSize, 2 ** 31);
  assertThrows(make("2" as never), TypeError, "numBlocks must");
});

import { assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  BlockTable,
  OutOfBlocksError,
} from "../../../src/cache/mod.ts";

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}

/** Slots of positions `start..end - 1` by the textbook formula. */
function slotsOf(blocks: readonly number[], size: number, positions: number[]) {
  return Uint32Array.from(
    positions,
    (p) => blocks[Math.floor(p / size)] * size + p % size,
  );
}

Deno.test("BlockTable() is empty and holds nothing", () => {
  const pool = new BlockPool({ numBlocks: 4, blockSize: 4 });
  const table = new BlockTable(pool);
  assertEquals([table.length, table.capacity, table.blocks], [0, 0, []]);
  assertEquals(table.reserve(0), { slots: new Uint32Array(), copies: [] });
  assertEquals(table.pool, pool);
  assertEquals(pool.usedBlocks, 0);
});

Deno.test("BlockTable.reserve() gives each token its slot", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 4 });
  const [a, b] = [new BlockTable(pool), new BlockTable(pool)];
  assertEquals(a.reserve(3).slots, Uint32Array.of(4, 5, 6));
  assertEquals(b.reserve(1).slots, Uint32Array.of(8));
  assertEquals(a.reserve(6).slots, Uint32Array.of(7, 12, 13, 14, 15, 16));
  assertEquals([a.blocks, b.blocks], [[1, 3, 4], [2]]);
  assertEquals([a.length, a.capacity], [9, 12]);
  assertEquals([0, 3, 4, 8].map((i) => a.slot(i)), [4, 7, 12, 16]);
});

Deno.test("BlockTable.blockAt() is the block of a position", () => {
  const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
  const table = new BlockTable(pool);
  table.reserve(3, { blocks: pool.allocate(3) });
  table.dropBefore(2);
  assertEquals([0, 1, 2, 3, 4, 5].map((i) => table.blockAt(i)), [
    0,
    0,
    2,
    2,
    3,
    3,
  ]);
  for (const position of [-1, 6, 0.5]) {
    assertThrows(() => table.blockAt(position), RangeError, "position must");
  }
  table.free();
  assertThrows(() => table.blockAt(0), TypeError, "freed");
});

Deno.test("BlockTable.blocks is a copy", () => {
  const table = new BlockTable(new BlockPool({ numBlocks: 3, blockSize: 1 }));
  table.reserve(2);
  (table.blocks as number[])[0] = 7;
  assertEquals(table.blocks, [1, 2]);
});

for (const length of [1, 16, 129]) {
  for (const count of [1, 16, 129]) {
    for (const first of ["fork", "original"]) {
      const name = `length ${length}, reserve ${count} in the ${first}`;
      Deno.test(`BlockTable.reserve() copies on write: ${name}`, () => {
        const size = 8;
        const pool = new BlockPool({ numBlocks: 100, blockSize: size });
        const original = new BlockTable(pool);
        original.reserve(length);
        const held = Math.ceil(length / size);
        const fork = original.fork();
        assertEquals(pool.usedBlocks, held);
        assertEquals(fork.blocks, range(1, held + 1));
        assertEquals(fork.length, length);
        assertEquals(fork.blocks.map((id) => pool.refCount(id)), [
          ...range(0, held).map(() => 2),
        ]);

        const [writer, other] = first === "fork"
          ? [fork, original]
          : [original, fork];
        const { slots, copies } = writer.reserve(count);
        const partial = length % size > 0;
        const full = Math.floor(length / size);
        const blocks = [
          ...range(1, full + 1),
          ...range(
            held + 1,
            held + 1 + Math.ceil((length + count) / size) - full,
          ),
        ];
        assertEquals(
          copies,
          partial
            ? [{ source: held, destination: held + 1, rows: length % size }]
            : [],
        );
        assertEquals(writer.blocks, blocks);
        assertEquals(
          slots,
          slotsOf(blocks, size, range(length, length + count)),
        );
        assertEquals(other.blocks, range(1, held + 1));
        assertEquals(other.length, length);
        if (partial) assertEquals(pool.refCount(held), 1);

        // Nothing that the other writes into is shared any more.
        assertEquals(other.reserve(1).copies, []);
        pool.verify();
        writer.free();
        other.free();
        assertEquals([pool.freeBlocks, pool.usedBlocks], [99, 0]);
        pool.verify();
      });
    }
  }
}

Deno.test("BlockTable.reserve() of nothing copies nothing", () => {
  const table = new BlockTable(new BlockPool({ numBlocks: 4, blockSize: 4 }));
  table.reserve(3);
  const fork = table.fork();
  assertEquals(fork.reserve(0).copies, []);
  assertEquals(fork.blocks, [1]);
});

Deno.test("BlockTable.reserve() copies once for each but the last holder", () => {
  const pool = new BlockPool({ numBlocks: 8, blockSize: 4 });
  const tables = [new BlockTable(pool)];
  tables[0].reserve(6);
  tables.push(tables[0].fork(), tables[0].fork());
  assertEquals(pool.refCount(2), 3);
  assertEquals(tables.map((table) => table.reserve(1).copies), [
    [{ source: 2, destination: 3, rows: 2 }],
    [{ source: 2, destination: 4, rows: 2 }],
    [],
  ]);
  assertEquals(tables.map((table) => table.blocks), [[1, 3], [1, 4], [1, 2]]);
  assertEquals([1, 2, 3, 4].map((id) => pool.refCount(id)), [3, 1, 1, 1]);
});

Deno.test("BlockTable.reserve() counts the copy's block with the new ones", () => {
  const pool = new BlockPool({ numBlocks: 4, blockSize: 2 });
  const table = new BlockTable(pool);
  table.reserve(3);
  const fork = table.fork();
  const error = assertThrows(() => fork.reserve(2), OutOfBlocksError);
  assertEquals([error.needed, error.free], [2, 1]);
  assertEquals([fork.blocks, fork.length], [[1, 2], 3]);
  assertEquals([1, 2, 3].map((id) => pool.refCount(id)), [2, 2, 0]);
  assertEquals(fork.reserve(1).copies, [{
    source: 2,
    destination: 3,
    rows: 1,
  }]);
  pool.verify();
});

Deno.test("BlockTable.commit() counts what is written", () => {
  const table = new BlockTable(new BlockPool({ numBlocks: 6, blockSize: 4 }));
  const sizes = () => [table.length, table.committed];
  table.reserve(6);
  assertEquals(sizes(), [6, 0]);
  table.commit(3);
  assertEquals(sizes(), [6, 3]);
  const fork = table.fork();
  table.commit();
  assertEquals([...sizes(), fork.committed], [6, 6, 3]);
  table.truncate(5);
  table.reserve(2);
  assertEquals(sizes(), [7, 5]);
  for (const length of [4, 8, 5.5]) {
    assertThrows(() => table.commit(length), RangeError, "length must");
  }
  assertThrows(() => table.commit("6" as never), TypeError, "length must");
  assertEquals(sizes(), [7, 5]);
});

Deno.test("BlockTable.adopt() takes over held blocks, all written or some", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 4 });
  const table = BlockTable.adopt(pool, [0, ...pool.allocate(2)], { length: 9 });
  assertEquals([table.length, table.committed, table.dropped], [9, 9, 4]);
  table.free();
  assertEquals(pool.usedBlocks, 0);
  const blocks = pool.allocate(2);
  const adopt = (committed: number) =>
    BlockTable.adopt(pool, blocks, { length: 7, committed });
  for (const committed of [-1, 8, 0.5]) {
    assertThrows(() => adopt(committed), RangeError, "committed must");
  }
  assertEquals(adopt(2).committed, 2);
});

Deno.test("BlockTable.fork() of an empty table shares nothing", () => {
  const pool = new BlockPool({ numBlocks: 4, blockSize: 4 });
  const table = new BlockTable(pool);
  const fork = table.fork();
  assertEquals([fork.reserve(1).slots[0], table.reserve(1).slots[0]], [4, 8]);
  assertEquals([fork.blocks, table.blocks], [[1], [2]]);
});

Deno.test("BlockTable.truncate() gives back whole blocks, the last first", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 4 });
  const table = new BlockTable(pool);
  table.reserve(17);
  table.truncate(17);
  assertEquals(table.blocks, [1, 2, 3, 4, 5]);
  table.truncate(8);
  assertEquals([table.length, table.capacity, table.blocks], [8, 8, [1, 2]]);
  assertEquals(pool.freeOrder(), [5, 4, 3]);
  table.truncate(5);
  assertEquals(table.blocks, [1, 2]);
  assertEquals(table.reserve(1).slots, Uint32Array.of(9));
  table.truncate(0);
  assertEquals(pool.freeOrder(), [5, 4, 3, 2, 1]);
  pool.verify();
});

Deno.test("BlockTable.truncate() into a shared block copies on reserve", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 4 });
  const table = new BlockTable(pool);
  table.reserve(8);
  const fork = table.fork();
  fork.truncate(7);
  assertEquals([1, 2].map((id) => pool.refCount(id)), [2, 2]);
  assertEquals(fork.reserve(1).copies, [{
    source: 2,
    destination: 3,
    rows: 3,
  }]);
  assertEquals([table.length, table.blocks], [8, [1, 2]]);
  fork.truncate(4);
  assertEquals(fork.reserve(1).copies, []);
  assertEquals(fork.blocks, [1, 4]);
  pool.verify();
});

Deno.test("BlockTable.truncate() leaves a fork's blocks to it", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 4 });
  const table = new BlockTable(pool);
  table.reserve(8);
  const fork = table.fork();
  table.truncate(0);
  assertEquals([fork.blocks, pool.refCount(1), pool.refCount(2)], [
    [1, 2],
    1,
    1,
  ]);
  assertEquals(pool.freeOrder(), [3, 4, 5]);
});

Deno.test("BlockTable.free() gives back the last block first", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 2 });
  const table = new BlockTable(pool);
  table.reserve(6);
  table.free();
  assertEquals(pool.freeOrder(), [4, 5, 3, 2, 1]);
  pool.verify();
});

Deno.test("BlockTable throws a TypeError once it is freed", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 2 });
  const table = new BlockTable(pool);
  table.reserve(3);
  const fork = table.fork();
  table.free();
  const uses: (() => unknown)[] = [
    () => table.free(),
    () => table.reserve(1),
    () => table.commit(),
    () => table.committed,
    () => table.fork(),
    () => table.truncate(0),
    () => table.slot(0),
    () => table.length,
    () => table.blocks,
    () => table.capacity,
    () => table.pool,
  ];
  for (const use of uses) assertThrows(use, TypeError, "as it is freed");
  assertEquals(fork.blocks.map((id) => pool.refCount(id)), [1, 1]);
  pool.verify();
});

Deno.test("BlockTable throws on bad arguments and changes nothing", () => {
  const pool = new BlockPool({ numBlocks: 6, blockSize: 2 });
  const table = new BlockTable(pool);
  table.reserve(3);
  for (const count of [-1, 0.5, NaN, Infinity]) {
    assertThrows(() => table.reserve(count), RangeError, "count must");
  }
  for (const length of [-1, 0.5, 4, NaN]) {
    assertThrows(() => table.truncate(length), RangeError, "length must");
  }
  for (const position of [-1, 0.5, 3, NaN]) {
    assertThrows(() => table.slot(position), RangeError, "position must");
  }
  assertThrows(() => table.reserve("1" as never), TypeError, "count must");
  assertThrows(() => table.truncate(null as never), TypeError, "length must");
  assertThrows(() => table.slot([] as never), TypeError, "position must");
  assertThrows(
    () => new BlockTable({} as never),
    TypeError,
    "pool must be a BlockPool",
  );
  assertThrows(() => table.reserve(2 ** 53 - 1), OutOfBlocksError);
  assertEquals([table.length, table.blocks], [3, [1, 2]]);
  pool.verify();
});

Deno.test("BlockTable.reserve() of any safe integer is refused by count", () => {
  const table = new BlockTable(new BlockPool({ numBlocks: 5, blockSize: 1 }));
  table.reserve(4);
  const error = assertThrows(
    () => table.reserve(2 ** 53 - 1),
    OutOfBlocksError,
  );
  assertEquals([error.needed, error.free], [2 ** 53 - 1, 0]);
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BlockTable,
  NULL_STATE,
  OutOfBlocksError,
  OutOfStatesError,
  StatePool,
} from "../../../src/cache/mod.ts";

Deno.test("StatePool() hands out its slots as a block pool does", () => {
  const pool = new StatePool({ numStates: 4 });
  assertEquals(pool.blockSize, 16);
  assertEquals(pool.allocate(2), [1, 2]);
  pool.release(1);
  assertEquals(pool.allocate(2), [3, 1]);
  assertEquals(pool.refCount(NULL_STATE), 0);
  pool.verify();
});

Deno.test("StatePool() says that states are short, which is a kind of blocks", () => {
  const pool = new StatePool({ numStates: 4 });
  for (const call of ["allocate", "checkAllocate"] as const) {
    const error = assertThrows(() => pool[call](4), OutOfStatesError);
    assert(error instanceof OutOfBlocksError);
    assertEquals(error.name, "OutOfStatesError");
    assertEquals(
      error.message,
      "Cannot allocate states: 4 needed, 3 free, 0 evictable",
    );
    assertEquals(pool.freeBlocks, 3);
  }
  assertEquals(
    new OutOfBlocksError({ needed: 1, free: 0 }).name,
    "OutOfBlocksError",
  );
});

Deno.test("StatePool.checkAllocate() does nothing, and counts what is given back", () => {
  const pool = new StatePool({ numStates: 3 });
  const [first] = pool.allocate(2);
  pool.checkAllocate(1, { release: [first] });
  assertEquals([pool.freeBlocks, pool.refCount(first)], [0, 1]);
  assertThrows(() => pool.checkAllocate(1), OutOfStatesError);
  assertThrows(
    () => pool.checkAllocate(0, { release: [first, first] }),
    RangeError,
    "release must not",
  );
});

Deno.test("StatePool() refuses sizes that are none", () => {
  const make = (options: object) => () =>
    new StatePool(options as { numStates: number });
  for (const numStates of [1, 0, 1.5, NaN, 2 ** 31]) {
    assertThrows(make({ numStates }), RangeError, "numStates must");
  }
  assertThrows(make({ numStates: "3" }), TypeError, "numStates must");
  assertThrows(make({ numStates: 3, blockSize: 0 }), RangeError, "blockSize");
  assertThrows(make({ numBlocks: 3 }), TypeError, "write numStates");
  assertThrows(make({ numStates: 3, slots: 1 }), TypeError, "slots must not");
});

Deno.test("StatePool() is a pool of block tables only to who wants that", () => {
  const pool = new StatePool({ numStates: 3, blockSize: 2 });
  assertEquals([...new BlockTable(pool).reserve(2).slots], [2, 3]);
});

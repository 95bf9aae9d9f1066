import { assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  OutOfStatesError,
  PrefixIndex,
  StatePool,
  StateSequence,
} from "../../../src/cache/mod.ts";

function committed(pool: StatePool, tokens: number): StateSequence {
  const sequence = new StateSequence(pool);
  sequence.reserve(tokens);
  sequence.commit();
  return sequence;
}

Deno.test("StateSequence.reserve() writes over what it alone holds", () => {
  const pool = new StatePool({ numStates: 3 });
  const sequence = committed(pool, 3);
  assertEquals(sequence.reserve(2), [{
    start: 3,
    count: 2,
    read: 1,
    write: 1,
  }]);
  assertEquals([sequence.slotAt(3), sequence.slotAt(5)], [0, 1]);
  assertEquals(pool.usedBlocks, 1);
});

Deno.test("StateSequence.reserve() leaves alone what an index finds", () => {
  const pool = new StatePool({ numStates: 4, blockSize: 2 });
  const index = new PrefixIndex(pool);
  const sequence = committed(pool, 2);
  index.cursor().advance([7, 8], sequence.slot);
  assertEquals(sequence.slotsNeeded(1), 1);
  assertEquals(sequence.reserve(1), [{
    start: 2,
    count: 1,
    read: 1,
    write: 2,
  }]);
  sequence.commit();
  assertEquals(index.match([7, 8, 9]).blocks, [1]);
  assertEquals(pool.evictableBlocks, 1);
});

Deno.test("StateSequence.reserve() holds what it reads until the commit", () => {
  const pool = new StatePool({ numStates: 4 });
  const first = committed(pool, 1);
  const second = first.fork();
  assertEquals(first.reserve(1)[0].write, 2);
  // Slot 1 is read by the first's step, so the second must not write it.
  assertEquals(second.reserve(1)[0], { start: 1, count: 1, read: 1, write: 3 });
  first.commit();
  second.commit();
  assertEquals([pool.usedBlocks, pool.refCount(1)], [2, 0]);
});

Deno.test("StateSequence.reserve() takes given slots, exactly so many", () => {
  const pool = new StatePool({ numStates: 6 });
  const sequence = new StateSequence(pool);
  const slots = pool.allocate(2);
  assertThrows(
    () => sequence.reserve(4, { slots }),
    RangeError,
    "slots.length must be 1",
  );
  assertThrows(
    () => sequence.reserve(4, { at: [1], slots: [1, 3] }),
    RangeError,
    "slots must be held once",
  );
  const parts = sequence.reserve(4, { at: [1], slots });
  assertEquals(parts.map(({ write }) => write), slots);
  assertEquals(pool.usedBlocks, 2);
  assertThrows(
    () => sequence.reserve(9, { at: [5, 6, 7, 8], keep: true }),
    OutOfStatesError,
  );
});

Deno.test("StateSequence.commit() gives back the last of what is behind first", () => {
  const pool = new StatePool({ numStates: 5 });
  const sequence = new StateSequence(pool);
  sequence.reserve(6, { at: [2, 4] });
  assertEquals(sequence.slots, [1, 2, 3]);
  sequence.commit();
  assertEquals(pool.freeOrder(), [4, 2, 1]);
});

Deno.test("StateSequence.truncate() refuses a state that is written over", () => {
  const pool = new StatePool({ numStates: 5 });
  const sequence = committed(pool, 4);
  sequence.reserve(1);
  assertThrows(
    () => sequence.truncate(4),
    TypeError,
    "must be one whose state is kept",
  );
  sequence.truncate(4, { unwritten: true });
  assertEquals([sequence.length, sequence.slot], [4, 1]);
  sequence.reserve(1, { keep: true });
  sequence.truncate(4);
  assertEquals([sequence.length, sequence.slot, pool.usedBlocks], [4, 1, 1]);
});

Deno.test("StateSequence.adopt() takes the hold of a state over", () => {
  const pool = new StatePool({ numStates: 4 });
  const [slot] = pool.allocate(1);
  const sequence = StateSequence.adopt(pool, slot, 9);
  assertEquals([sequence.length, sequence.slot], [9, slot]);
  sequence.free();
  assertEquals(pool.usedBlocks, 0);
  assertEquals(StateSequence.adopt(pool, 0, 0).slots, []);
  const adopt = (...args: [number, number]) => () =>
    StateSequence.adopt(pool, ...args);
  assertThrows(adopt(0, 1), RangeError, "slot must");
  assertThrows(adopt(4, 1), RangeError, "slot must");
  assertThrows(adopt(2, 1), RangeError, "slot must be in use");
  assertThrows(adopt(1, -1), RangeError, "length must");
});

Deno.test("StateSequence.restore() takes a live snapshot of its own pool", () => {
  const pool = new StatePool({ numStates: 4 });
  const other = committed(new StatePool({ numStates: 4 }), 1).snapshot();
  const sequence = committed(pool, 1);
  for (const snapshot of [other, sequence, undefined] as never[]) {
    assertThrows(
      () => sequence.restore(snapshot),
      TypeError,
      "must be a live StateSnapshot",
    );
  }
  const snapshot = sequence.snapshot();
  sequence.free();
  assertEquals(pool.usedBlocks, 1);
  assertThrows(() => sequence.restore(snapshot), TypeError, "it is freed");
  snapshot.free();
  assertEquals([snapshot.freed, pool.usedBlocks], [true, 0]);
});

Deno.test("StateSequence() is over a pool of states", () => {
  const pool = new BlockPool({ numBlocks: 4 });
  assertThrows(() => new StateSequence(pool as never), TypeError, "StatePool");
});

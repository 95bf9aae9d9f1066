import { assertThrows } from "@std/assert";
import {
  type PoolState,
  verifyPool,
} from "../../../src/cache/block/pool_invariants.ts";

/** Blocks 1 and 3 free, in that order; 2 held twice, 4 once. */
function soundState(): { -readonly [K in keyof PoolState]: PoolState[K] } {
  return {
    links: {
      next: Int32Array.of(1, 3, -1, 0, -1),
      previous: Int32Array.of(3, 0, -1, 1, -1),
      length: 2,
    },
    references: Uint32Array.of(0, 0, 2, 0, 1),
    usedBlocks: 2,
    peakUsedBlocks: 3,
  };
}

Deno.test("verifyPool() accepts a sound state", () => {
  verifyPool(soundState());
});

const faults: [string, (state: ReturnType<typeof soundState>) => void][] = [
  ["the null block has no holder", (s) => s.references[0] = 1],
  ["free list links stay on the list", (s) => s.links.next[1] = -1],
  ["free list links stay on the list", (s) => s.links.next[3] = 5],
  ["free list links agree in both directions", (s) => s.links.next[1] = 0],
  ["free list links agree in both directions", (s) => s.links.previous[3] = 4],
  ["the free list's length is the number of its ids", (s) => {
    s.links = { ...s.links, length: 3 };
  }],
  ["an id is either on the free list or not", (s) => s.links.next[2] = 0],
  ["every id marked as free is on the free list", (s) => {
    s.links.next[2] = 4;
    s.links.previous[2] = 4;
  }],
  ["the free list covers every block", (s) => {
    s.references = Uint32Array.of(0, 0, 2, 0, 1, 1);
  }],
  ["a block is free exactly when it has no holder", (s) => {
    s.references[3] = 1;
  }],
  ["a block is free exactly when it has no holder", (s) => {
    s.references[4] = 0;
  }],
  ["free + used = total", (s) => s.usedBlocks = 1],
  ["used <= peak <= total", (s) => s.peakUsedBlocks = 1],
  ["used <= peak <= total", (s) => s.peakUsedBlocks = 5],
];

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`verifyPool() names the violated invariant ${i}: ${rule}`, () => {
    const state = soundState();
    corrupt(state);
    assertThrows(() => verifyPool(state), Error, `violated: ${rule}`);
  });
});

import { assertThrows } from "@std/assert";
import {
  type ExtentState,
  verifyExtents,
} from "../../../src/cache/extent/extent_invariants.ts";

/** Extents of 2 and 3 blocks and an empty one; 1 and 2 blocks free. */
function soundState(): { -readonly [K in keyof ExtentState]: ExtentState[K] } {
  return {
    totalBlocks: 8,
    blockSize: 4,
    free: [{ start: 2, blocks: 1 }, { start: 6, blocks: 2 }],
    freeBlocks: 3,
    live: [
      { start: 3, blocks: 3, tokens: 12 },
      { start: 0, blocks: 0, tokens: 0 },
      { start: 0, blocks: 2, tokens: 0 },
    ],
    peakUsedBlocks: 6,
  };
}

Deno.test("verifyExtents() accepts a sound state", () => {
  verifyExtents(soundState());
});

const TILES = "every block is free or in one extent";
const ORDER = "free runs are in order and do not touch";

const faults: [string, (state: ReturnType<typeof soundState>) => void][] = [
  ["a free run has a block", (s) => {
    s.free = [{ start: 2, blocks: 0 }, s.free[1]];
  }],
  [ORDER, (s) => s.free = s.free.toReversed()],
  [ORDER, (s) => {
    s.free = [s.free[0], { start: 6, blocks: 1 }, { start: 7, blocks: 1 }];
  }],
  [TILES, (s) => s.free = s.free.slice(1)],
  [TILES, (s) => s.free = s.free.slice(0, 1)],
  [TILES, (s) => s.live = s.live.slice(1)],
  [TILES, (s) => s.live = [...s.live, s.live[0]]],
  [TILES, (s) => s.totalBlocks = 7],
  [TILES, (s) => s.totalBlocks = 9],
  ["an extent without blocks is at 0", (s) => {
    s.live = [...s.live, { start: 4, blocks: 0, tokens: 0 }];
  }],
  ["an extent has room for its tokens", (s) => {
    s.live = [{ ...s.live[0], tokens: 13 }, ...s.live.slice(1)];
  }],
  ["an extent has room for its tokens", (s) => {
    s.live = [{ ...s.live[0], tokens: -1 }, ...s.live.slice(1)];
  }],
  ["free blocks are those of the free runs", (s) => s.freeBlocks = 2],
  ["used <= peak <= total", (s) => s.peakUsedBlocks = 4],
  ["used <= peak <= total", (s) => s.peakUsedBlocks = 9],
];

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`verifyExtents() names the violated invariant ${i}: ${rule}`, () => {
    const state = soundState();
    corrupt(state);
    assertThrows(() => verifyExtents(state), Error, `violated: ${rule}`);
  });
});

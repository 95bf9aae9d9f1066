import { assertThrows } from "@std/assert";
import { verifyPool } from "../../../src/cache/block/pool_invariants.ts";
import { verifyPrefixIndex } from "../../../src/cache/prefix/prefix_invariants.ts";

/** Blocks 1 and 2 hold one content, 3 another; 3 is pinned. */
function soundState() {
  const [a, b] = [{ blocks: new Set([1, 2]) }, { blocks: new Set([3]) }];
  return {
    pool: {
      totalBlocks: 4,
      isCached: (id: number) => id > 0 && id < 4,
      refCount: (id: number) => id > 0 && id < 4 ? 1 : 0,
    },
    nodes: new Map([[1, a], [2, a], [3, b]]),
    stored: [a, b],
    pins: [{ blocks: [3] }],
  };
}

Deno.test("verifyPrefixIndex() accepts a sound state", () => {
  verifyPrefixIndex(soundState());
});

const faults: [string, (state: ReturnType<typeof soundState>) => void][] = [
  ["a cached block belongs to one prefix", (s) => s.nodes.delete(1)],
  ["a cached block belongs to one prefix", (s) => s.stored[1].blocks.add(1)],
  ["every cached block is listed", (s) => s.nodes.set(4, s.stored[1])],
  ["every cached block is listed", (s) => s.stored.pop()],
  ["the pool marks exactly", (s) => s.pool.isCached = (id) => id > 0],
  ["the pool marks exactly", (s) => s.pool.isCached = (id) => id === 1],
  [
    "of blocks with one content",
    (s) => s.pool.refCount = (id) => id > 1 ? 1 : 0,
  ],
  ["pinned blocks are held", (s) => s.pins.push({ blocks: [3] })],
];

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`verifyPrefixIndex() names the invariant ${i}: ${rule}`, () => {
    const state = soundState();
    corrupt(state);
    assertThrows(() => verifyPrefixIndex(state), Error, `violated: ${rule}`);
  });
});

/** Blocks 1, 2, 3 free in that order; 3 cached. */
function poolState() {
  return {
    links: {
      next: Int32Array.of(1, 2, 3, 0),
      previous: Int32Array.of(3, 0, 1, 2),
      length: 3,
    },
    references: new Uint32Array(4),
    usedBlocks: 0,
    peakUsedBlocks: 0,
    cached: Uint8Array.of(0, 0, 0, 1),
    evictableBlocks: 1,
  };
}

Deno.test("verifyPool() checks what is cached", () => {
  verifyPool(poolState());
  const broken = (change: Partial<ReturnType<typeof poolState>>) => () =>
    verifyPool({ ...poolState(), ...change });
  assertThrows(
    broken({ cached: Uint8Array.of(1, 0, 0, 1) }),
    Error,
    "the null block is not cached",
  );
  assertThrows(
    broken({ cached: Uint8Array.of(0, 1, 0, 0) }),
    Error,
    "free blocks that hold nothing come before cached ones",
  );
  assertThrows(
    broken({ evictableBlocks: 0 }),
    Error,
    "evictable blocks are the free ones",
  );
});

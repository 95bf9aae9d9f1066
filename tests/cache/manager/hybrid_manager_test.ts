import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  type CacheManagerOptions,
  OutOfStatesError,
  PrefixIndex,
  type SnapshotPolicy,
  StatePool,
} from "../../../src/cache/mod.ts";

const GROUPS = [{}, { kind: "state" }] as const;

/** A manager of blocks of two tokens, and its pools. */
function hybrid(
  { numStates = 9, snapshots = {}, groups = GROUPS, ...more }:
    & Partial<CacheManagerOptions>
    & { numStates?: number; snapshots?: SnapshotPolicy } = {},
) {
  const pool = new BlockPool({ numBlocks: 33, blockSize: 2 });
  const slots = new StatePool({ numStates, blockSize: 2 });
  const keyed = groups.some(({ kind }) => kind !== "state");
  const index = new PrefixIndex(slots);
  const cache = new CacheManager({
    pool,
    groups,
    ...(keyed && { index: new PrefixIndex(pool) }),
    states: { pool: slots, index, snapshots, hostStates: 4 },
    hostBlocks: 8,
    watermark: 0,
    ...more,
  });
  /** Begins a sequence and computes all of it. */
  const run = (tokens: number[]) => {
    const { sequence, cached, pending } = cache.create(tokens);
    const { states } = cache.reserve(sequence, pending);
    cache.commit(sequence);
    cache.verify();
    return { sequence, cached, parts: states![0] };
  };
  return { pool, slots, index, cache, run };
}

Deno.test("CacheManager.create() finds a prefix as far as blocks and a state go", () => {
  const { cache, run, slots } = hybrid();
  const first = run([1, 2, 3, 4, 5, 6, 7]);
  assertEquals(
    first.parts.map(({ start, count }) => [start, count]),
    [[0, 6], [6, 1]],
  );
  // The state behind 6 tokens is kept; those behind 2 and 4 are not.
  assertEquals(run([1, 2, 3, 4, 5, 6, 7]).cached, 6);
  assertEquals(cache.index!.match([1, 2, 3, 4, 9]).length, 4);
  const branch = run([1, 2, 3, 4, 9]);
  assertEquals(branch.cached, 0);
  // Where it leaves the first, its state is kept for those to come.
  assertEquals(branch.parts.map(({ count }) => count), [4, 1]);
  assertEquals(run([1, 2, 3, 4, 8, 8]).cached, 4);
  assert(slots.evictableBlocks > 0);
});

Deno.test("CacheManager() keeps states of a model without attention", () => {
  const { cache, run, pool } = hybrid({ groups: [{ kind: "state" }] });
  const { sequence } = run([1, 2, 3, 4, 5]);
  assertEquals([sequence.tables.length, pool.usedBlocks], [0, 0]);
  assertEquals([sequence.length, sequence.committed], [5, 5]);
  assertEquals(run([1, 2, 3, 4, 5]).cached, 4);
  // What is known of the tree says where the two part.
  assertEquals(run([1, 2, 9, 9]).parts.map(({ count }) => count), [2, 2]);
  assertEquals(run([1, 2, 8, 8]).cached, 2);
  assertEquals(cache.stateGroups, 1);
  assertEquals(cache.peakBlocks(100), 0);
});

Deno.test("CacheManager() keeps states where its policy says", () => {
  const lengths = (snapshots: SnapshotPolicy) => {
    const { cache, run } = hybrid({ snapshots });
    const { sequence, parts } = run([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const token of [10, 11, 12]) {
      cache.reserve(sequence, [token]);
      cache.commit(sequence);
    }
    const all = Array.from({ length: 12 }, (_, i) => i + 1);
    const kept = [2, 4, 6, 8, 10, 12].filter((end) =>
      cache.create([...all.slice(0, end), 0]).cached === end
    );
    return [parts.length, ...kept];
  };
  assertEquals(lengths({}), [2, 8]);
  assertEquals(lengths({ every: 2 }), [3, 4, 8, 12]);
  assertEquals(lengths({ every: 3, promptEnd: false }), [2, 6, 12]);
  assertEquals(lengths({ promptEnd: false, branches: false }), [1]);
});

Deno.test("CacheManager.reserve() keeps no state where slots are short", () => {
  const { cache, run, slots } = hybrid({ numStates: 2 });
  const { parts, sequence } = run([1, 2, 3, 4, 5]);
  assertEquals(parts.map(({ count }) => count), [5]);
  assertEquals(slots.usedBlocks, 1);
  // The only slot goes on in place.
  const { states } = cache.reserve(sequence, [6]);
  assertEquals(states![0].map(({ read, write }) => [read, write]), [[1, 1]]);
  cache.commit(sequence);
  const { sequence: other } = cache.create([7]);
  assertThrows(() => cache.reserve(other, [7]), OutOfStatesError);
  assertEquals([other.length, cache.pool.usedBlocks], [0, 3]);
  cache.verify();
});

Deno.test("CacheManager.reserve() writes over a found state only at last", () => {
  const { cache, run, slots, index } = hybrid({ numStates: 3 });
  const { sequence } = run([1, 2, 3]);
  cache.reserve(sequence, [4]);
  cache.commit(sequence);
  cache.free(sequence);
  assertEquals([slots.freeBlocks, slots.evictableBlocks], [2, 1]);
  const found = cache.create([1, 2, 9]);
  assertEquals(found.cached, 2);
  const [other] = slots.allocate(1);
  assertEquals(slots.freeBlocks, 0);
  const { states } = cache.reserve(found.sequence, [9]);
  const [{ read, write }] = states![0];
  assertEquals([read, index.cachedBlocks], [write, 0]);
  cache.commit(found.sequence);
  slots.release(other);
  cache.verify();
});

Deno.test("CacheManager.truncate() goes back to any draft", () => {
  const { cache, run } = hybrid();
  const { sequence } = run([1, 2, 3]);
  const before = sequence.states[0].slot;
  const { states } = cache.reserve(sequence, [4, 5, 6], { drafts: true });
  assertEquals(states![0].map(({ count }) => count), [1, 1, 1]);
  assert(!states![0].some(({ write }) => write === before));
  cache.commit(sequence, 5);
  cache.truncate(sequence, 5);
  assertEquals(sequence.states[0].slot, states![0][1].write);
  assertEquals(sequence.tokens, [1, 2, 3, 4, 5]);
  cache.verify();
  cache.reserve(sequence, [6, 7]);
  assertThrows(() => cache.commit(sequence, 6), RangeError, "5, 7");
  assertThrows(() => cache.truncate(sequence, 6), RangeError, "5, 7");
  assertThrows(() => cache.truncate(sequence, 5), TypeError, "is kept");
  cache.verify();
  assertEquals(sequence.length, 7);
  cache.truncate(sequence, 5, { unwritten: true });
  cache.verify();
});

Deno.test("CacheManager.create() needs the blocks where the state is", () => {
  const { cache, run } = hybrid({
    groups: [{ left: 2 }, { kind: "state" }],
    snapshots: { every: 2, promptEnd: false, branches: false },
  });
  const tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const { sequence, parts } = run(tokens);
  assertEquals(parts.map(({ count }) => count), [4, 4, 1]);
  cache.free(sequence);
  // Behind 8 tokens there are blocks, and behind 4 a state.
  cache.stateIndex!.evict(parts[1].write);
  assertEquals(cache.create(tokens).cached, 4);
  cache.index!.evict(cache.index!.walk(tokens)[1]);
  assertEquals(cache.create(tokens).cached, 0);
  cache.verify();
});

Deno.test("CacheManager.create() needs the state of every group", () => {
  const { cache, run, index } = hybrid({
    groups: [{}, { kind: "state" }, { kind: "state" }],
  });
  run([1, 2, 3]);
  assertEquals(cache.create([1, 2, 3]).cached, 2);
  assertEquals(index.evict(index.walk([1, 2], { group: 2 })[0]), true);
  assertEquals(cache.create([1, 2, 3]).cached, 0);
});

Deno.test("CacheManager.reorder() gives up found states of who is alone", () => {
  const { cache, run, slots, index } = hybrid({
    numStates: 5,
    snapshots: { every: 1 },
  });
  const [a, b] = [run([1, 2]), run([5, 6])].map(({ sequence }) => sequence);
  const [fork] = cache.fork(a);
  assertEquals([slots.freeBlocks, index.cachedBlocks], [2, 2]);
  const beams = [a, fork, b];
  cache.reorder({ beams, parents: [0, 1, 2], tokens: [[9], [9], [9]] });
  // Of the two that are found, one was shared, and the other is written over.
  assertEquals(slots.freeBlocks, 0);
  for (const beam of beams) cache.commit(beam);
  cache.verify();
  const group = { group: 1 };
  assertEquals(index.match([1, 2, 3], group).length, 2);
  assertEquals(index.match([5, 6, 3], group).length, 0);
});

Deno.test("CacheManager.fork() shares states until each goes on", () => {
  const { cache, run, slots } = hybrid();
  const { sequence } = run([1, 2, 3]);
  const used = slots.usedBlocks;
  const [fork] = cache.fork(sequence);
  assertEquals(slots.usedBlocks, used);
  const parts = [sequence, fork].map((s) =>
    cache.reserve(s, [4]).states![0][0]
  );
  assertEquals(parts[0].read, parts[1].read);
  assertEquals(new Set(parts.map(({ write }) => write)).size, 2);
  assert(!parts.some(({ read, write }) => read === write));
  assertThrows(() => cache.fork(fork), TypeError, "sequence.committed must");
  assertThrows(
    () => cache.reorder({ beams: [sequence, fork], parents: [0, 0] }),
    TypeError,
    "beams[0].committed must",
  );
  assertThrows(
    () => cache.beginSwapOut([fork]),
    TypeError,
    "sequences[0].committed must",
  );
  cache.verify();
});

Deno.test("CacheManager.reorder() needs no slot of a beam that ended", () => {
  const { cache, run, slots } = hybrid({
    numStates: 4,
    snapshots: { promptEnd: false },
  });
  const beams = [run([1]), run([2])].map(({ sequence }) => sequence);
  assertEquals(slots.freeBlocks, 1);
  const [a, b] = cache.reorder({ beams, parents: [0, 0], tokens: [[3], [4]] });
  const [x, y] = [a, b].map(({ states }) => states![0][0]);
  assertEquals([x.read, y.read], [1, 1]);
  assertEquals([x.write, y.write].toSorted(), [2, 3]);
  for (const beam of beams) cache.commit(beam);
  cache.verify();
  assertEquals(slots.usedBlocks, 2);
});

Deno.test("CacheManager.beginSwapOut() moves each state once, or nothing", () => {
  const { cache, run, slots } = hybrid({
    groups: [{}, { kind: "state" }, { kind: "state" }],
  });
  const { sequence } = run([1, 2, 3]);
  const [fork] = cache.fork(sequence);
  const [{ slot: a }, { slot: b }] = sequence.states;
  const { states } = cache.beginSwapOut([sequence, fork]);
  assertEquals(states, [
    { block: a, slot: 1, group: 1 },
    { block: b, slot: 2, group: 2 },
  ]);
  const third = run([5, 6]).sequence;
  const fourth = run([7, 8]).sequence;
  const { freeHostBlocks, freeHostStates } = cache;
  assertEquals(freeHostStates, 2);
  assertThrows(() => cache.beginSwapOut([third, fourth]), OutOfStatesError);
  assertEquals(cache.freeHostBlocks, freeHostBlocks);
  assertEquals(third.status, "running");
  cache.verify();
  assert(slots.usedBlocks > 0);
});

Deno.test("CacheManager.canAdmit() counts states", () => {
  const { cache, run, slots } = hybrid({ numStates: 4, watermark: 0.4 });
  assertEquals([cache.watermarkStates, cache.watermarkBlocks], [1, 12]);
  assertEquals(cache.canAdmit([1]), "now");
  const { sequence } = run([1]);
  run([2]);
  assertEquals([slots.freeBlocks, cache.belowWatermark], [1, false]);
  assertEquals(cache.canAdmit([1]), "later");
  const third = run([3]).sequence;
  assertEquals([slots.freeBlocks, cache.belowWatermark], [0, true]);
  cache.free(third);
  cache.free(sequence);
  assertEquals(cache.canAdmit([1]), "now");
  assertEquals(
    hybrid({ numStates: 2, watermark: 1 }).cache.canAdmit([]),
    "never",
  );
  const two = [{ kind: "state" }, { kind: "state" }] as const;
  assertEquals(
    hybrid({ numStates: 2, groups: two }).cache.canAdmit([]),
    "never",
  );
});

Deno.test("CacheManager() refuses states and groups that do not fit", () => {
  const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
  const slots = new StatePool({ numStates: 9, blockSize: 2 });
  const index = new PrefixIndex(pool);
  const stateIndex = new PrefixIndex(slots);
  const states = { pool: slots };
  const cases: [object, new () => Error, string][] = [
    [{ groups: GROUPS }, TypeError, "states must be given"],
    [{ states }, TypeError, "states must not be given"],
    [{ groups: [{ kind: "keys" }] }, TypeError, "groups[0].kind must"],
    [
      { groups: [{ kind: "state" }, {}], states },
      RangeError,
      'groups[1].kind must be "state"',
    ],
    [
      { groups: [{ kind: "state", left: 3 }], states },
      TypeError,
      "groups[0].left must not",
    ],
    [{ groups: GROUPS, states: { pool } }, TypeError, "states.pool must"],
    [
      {
        groups: GROUPS,
        states: { pool: new StatePool({ numStates: 3, blockSize: 4 }) },
      },
      RangeError,
      "states.pool.blockSize must be that of the pool, 2",
    ],
    [
      { groups: GROUPS, states: { ...states, index } },
      TypeError,
      "states.index must",
    ],
    [{ groups: GROUPS, states, index }, TypeError, "index must be given with"],
    [
      { groups: GROUPS, states: { ...states, index: stateIndex } },
      TypeError,
      "index must be given with",
    ],
    [
      {
        groups: [{ kind: "state" }],
        states: { ...states, index: stateIndex },
        index,
      },
      TypeError,
      "index must not be given",
    ],
    [
      { groups: GROUPS, states: { ...states, hostStates: -1 } },
      RangeError,
      "states.hostStates must",
    ],
    [
      { groups: GROUPS, states: { ...states, slots: 3 } },
      TypeError,
      "slots must not",
    ],
  ];
  for (const [options, Class, message] of cases) {
    assertThrows(
      () => new CacheManager({ pool, ...options }),
      Class,
      message,
    );
  }
  assertThrows(
    () => new CacheManager({ pool: slots }),
    TypeError,
    "pool must be a BlockPool",
  );
  const { cache, run } = hybrid();
  const { sequence } = run([1]);
  assertThrows(
    () => cache.reserve(sequence, [1], { draft: true } as never),
    TypeError,
    "write drafts",
  );
  assertThrows(
    () => cache.truncate(sequence, 1, { written: true } as never),
    TypeError,
    "unwritten",
  );
});

import { assertThrows } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  type CacheSequence,
  PrefixIndex,
  StatePool,
} from "../../../src/cache/mod.ts";
import {
  type ManagerState,
  verifyManager,
} from "../../../src/cache/manager/manager_invariants.ts";

/**
 * A running sequence in blocks 2 and 3 and state 2, one swapped in slot 1 of
 * both, a pin on 1 of both.
 */
function soundState() {
  const running = {
    status: "running",
    tokens: [1, 2, 3],
    committed: 2,
    tables: [{ length: 3, committed: 2, blocks: [0, 2, 3], dropped: 1 }],
    cursors: [{ blocks: 2 }],
    host: [] as number[][],
    states: [{ length: 3, committed: 2, slots: [2], verify() {} }],
    stateCursors: [{ blocks: 2 }],
    hostStates: [] as number[],
  };
  const swapped = {
    status: "swapped",
    tokens: [1, 2],
    committed: 2,
    tables: [] as typeof running.tables,
    cursors: [] as typeof running.cursors,
    host: [[0, 1]],
    states: [] as typeof running.states,
    stateCursors: [] as typeof running.stateCursors,
    hostStates: [0, 1],
  };
  return {
    pool: { totalBlocks: 3, blockSize: 1, refCount: (_: number): number => 1 },
    host: { totalBlocks: 1, refCount: (_: number): number => 1 },
    states: [running, swapped],
    pins: [{ blocks: [1] }],
    indexed: true,
    recurrent: {
      pool: { totalBlocks: 2, refCount: (_: number): number => 1 },
      host: { totalBlocks: 1, refCount: (_: number): number => 1 },
      pins: [{ blocks: [1] }],
    } as NonNullable<ManagerState["recurrent"]> | undefined,
  };
}

type Sound = ReturnType<typeof soundState>;
const verify = (state: Sound) =>
  verifyManager(state as unknown as ManagerState);

Deno.test("verifyManager() accepts a sound state", () => {
  verify(soundState());
});

const faults: [string, (state: Sound) => void][] = [
  ["every block is held as often", (s) => s.pool.refCount = () => 2],
  ["every block is held as often", (s) => s.pins.pop()],
  ["every block is held as often", (s) => s.states[0].tables[0].blocks.pop()],
  ["every host slot is held as often", (s) => s.host.refCount = () => 0],
  ["every host slot is held as often", (s) => s.states[1].host = [[1, 1]]],
  ["a sequence has tables while", (s) => s.states[0].status = "preempted"],
  ["a sequence has tables while", (s) => s.states[1].status = "running"],
  ["a sequence has host slots while", (s) => s.states[0].status = "swappingIn"],
  ["tables are as long as their", (s) => s.states[0].tables[0].length = 4],
  ["tables are committed as", (s) => s.states[0].tables[0].committed = 1],
  ["only dropped blocks are null", (s) => s.states[0].tables[0].dropped = 0],
  ["no more is committed than", (s) => s.states[1].committed = 3],
  ["every committed full block is", (s) => s.states[0].cursors[0].blocks = 1],
  ["every committed full block is", (s) => {
    s.indexed = false;
    s.recurrent = undefined;
    s.states[0].states = [];
  }],
  ["every state is held as often", (s) => s.states[0].states[0].slots = []],
  ["every state is held as often", (s) => {
    s.recurrent = { ...s.recurrent!, pins: [] };
  }],
  [
    "every host slot of a state is held",
    (s) => s.states[1].hostStates = [1, 1],
  ],
  ["tables are as long as their", (s) => s.states[0].states[0].length = 2],
  ["tables are committed as", (s) => s.states[0].states[0].committed = 1],
  ["every committed full block", (s) => s.states[0].stateCursors[0].blocks = 1],
];

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`verifyManager() names the invariant ${i}: ${rule}`, () => {
    const state = soundState();
    corrupt(state);
    assertThrows(() => verify(state), Error, `violated: ${rule}`);
  });
});

Deno.test("CacheManager.verify() notices who goes on from a state", () => {
  const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
  const states = { pool: new StatePool({ numStates: 5, blockSize: 2 }) };
  const groups = [{}, { kind: "state" }] as const;
  const cache = new CacheManager({ pool, groups, states });
  const { sequence, pending } = cache.create([1, 2, 3]);
  cache.reserve(sequence, pending);
  cache.commit(sequence);
  cache.verify();
  sequence.states[0].reserve(1);
  assertThrows(() => cache.verify(), Error, "tables are as long");
});

const edits: [string, string, (sequence: CacheSequence) => void][] = [
  ["reserves in", "tables are as long", ({ tables }) => tables[0].reserve(1)],
  ["truncates", "tables are as long", ({ tables }) => tables[0].truncate(1)],
  ["drops from", "held as often", ({ tables: [table] }) => {
    table.pool.release(table.blocks[0]);
  }],
  ["forks", "held as often", ({ tables }) => void tables[0].fork()],
  ["frees", "as it is freed", ({ tables }) => tables[0].free()],
];

for (const [verb, rule, edit] of edits) {
  Deno.test(`CacheManager.verify() notices who ${verb} a table`, () => {
    const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
    const cache = new CacheManager({ pool, index: new PrefixIndex(pool) });
    const { sequence, pending } = cache.create([1, 2, 3]);
    cache.reserve(sequence, pending);
    cache.commit(sequence);
    cache.verify();
    edit(sequence);
    assertThrows(() => cache.verify(), Error, rule);
  });
}

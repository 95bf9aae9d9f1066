import { assertThrows } from "@std/assert";
import { StatePool, StateSequence } from "../../../src/cache/mod.ts";
import {
  type StatePoint,
  verifyStatePoints,
} from "../../../src/cache/state/state_invariants.ts";

/** Two tokens committed in slot 1, which is written over; 5 and 6 reserved. */
function sound() {
  return {
    points: [
      { length: 2, slot: undefined },
      { length: 5, slot: 1 },
      { length: 6, slot: 2 },
    ] as StatePoint[],
    pool: {
      refCount: (_: number): number => 1,
      isCached: (_: number): boolean => false,
    },
  };
}

const faults: [string, (state: ReturnType<typeof sound>) => void][] = [
  ["the lengths of", (s) => s.points[1] = { length: 2, slot: 1 }],
  ["the last state", (s) => s.points[2].slot = undefined],
  ["the last state", (s) => s.points.length = 0],
  ["a sequence names a slot once", (s) => s.points[0].slot = 2],
  ["the slots of a sequence are held", (s) => s.pool.refCount = () => 0],
  ["a slot that is written is no", (s) => s.pool.refCount = () => 2],
  ["a slot that is written is no", (s) => s.pool.isCached = (id) => id === 2],
];

Deno.test("verifyStatePoints() accepts sound states", () => {
  const { points, pool } = sound();
  verifyStatePoints(points, pool);
});

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`verifyStatePoints() names the invariant ${i}: ${rule}`, () => {
    const state = sound();
    corrupt(state);
    assertThrows(
      () => verifyStatePoints(state.points, state.pool),
      Error,
      `violated: ${rule}`,
    );
  });
});

Deno.test("StateSequence.verify() notices who gives back its slot", () => {
  const pool = new StatePool({ numStates: 3 });
  const sequence = new StateSequence(pool);
  sequence.reserve(1);
  sequence.verify();
  pool.release(1);
  assertThrows(() => sequence.verify(), Error, "the slots of a sequence");
});

import { assertEquals, assertThrows } from "@std/assert";
import {
  StatePool,
  stateRounds,
  StateSequence,
} from "../../../src/cache/mod.ts";

Deno.test("stateRounds() runs the next part of every sequence that has one", () => {
  const pool = new StatePool({ numStates: 9 });
  const [a, b, c] = Array.from({ length: 3 }, () => new StateSequence(pool));
  const rounds = stateRounds([
    a.reserve(7, { at: [2, 6] }),
    b.reserve(0),
    c.reserve(4),
  ]);
  assertEquals(
    rounds.map((round) => Object.values(round).map((column) => [...column])),
    [
      [[0, 2], [0, 0], [2, 4], [-1, -1], [1, 4]],
      [[0], [2], [4], [1], [2]],
      [[0], [6], [1], [2], [3]],
    ],
  );
  assertEquals(Object.keys(rounds[0]), [
    "sequences",
    "starts",
    "counts",
    "read",
    "write",
  ]);
  assertEquals(stateRounds([]), []);
  assertEquals(stateRounds([[]]), []);
});

Deno.test("stateRounds() refuses what is no list of parts", () => {
  assertThrows(() => stateRounds(1 as never), TypeError, "reservations must");
  assertThrows(
    () => stateRounds([[], {}] as never),
    TypeError,
    "reservations[1] must",
  );
});

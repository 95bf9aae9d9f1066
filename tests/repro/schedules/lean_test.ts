import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { countLean, lean } from "../../../repro/schedules/lean.ts";
import {
  heuristicSplits,
  makespan,
  makespans,
  splitsOfCount,
  splitsOfSize,
} from "../../../repro/schedules/splits.ts";
import { property } from "../../support/property.ts";

Deno.test("makespan() gives each split to who is free first", () => {
  assertEquals(makespan([3, 3, 2], 2), 5);
  assertEquals(makespan([4, 1, 1, 1, 1], 2), 4);
  assertEquals(makespan([7], 3), 7);
  assertEquals(makespan([], 3), 0);
});

Deno.test("splitsOfSize() and splitsOfCount() split row tiles", () => {
  assertEquals(splitsOfSize([5, 0, 4], 2), [2, 2, 1, 2, 2]);
  assertEquals(splitsOfCount([10, 2, 0], 4), [3, 3, 3, 1, 1, 1]);
});

Deno.test("heuristicSplits() fills the last wave without more splits", () => {
  assertEquals(heuristicSplits([64, 64, 64, 64], 5), 1);
  assertEquals(heuristicSplits([64], 8), 7);
  assertEquals(heuristicSplits([64, 64], 8), 4);
  assertEquals(heuristicSplits([2], 8), 2);
});

property(
  "stream-K is an even partition to the tile, and no split is shorter",
  [
    fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 20 }),
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 20 }),
  ],
  (rowTiles, workers, fixedTiles) => {
    const all = makespans(rowTiles, { workers, fixedTiles });
    const total = rowTiles.reduce((a, b) => a + b);
    assertEquals(all.streamK, Math.ceil(total / workers));
    assertEquals(all.even, all.streamK);
    const { unsplit, heuristic, fixed } = all;
    assert(unsplit >= Math.max(...rowTiles));
    for (const other of [unsplit, heuristic, fixed]) {
      assert(other >= all.streamK);
    }
  },
);

Deno.test("fixed splits make a sawtooth in the batch, stream-K none", () => {
  const { sawtooth } = countLean();
  const efficiency = (of: "heuristic" | "streamK", rowTiles: number) => {
    const row = sawtooth[rowTiles - 1];
    return rowTiles * 256 / (108 * row[of]);
  };
  assertEquals(efficiency("heuristic", 108), 1);
  assert(efficiency("heuristic", 109) < 0.51);
  assertEquals(efficiency("heuristic", 216), 1);
  for (let rowTiles = 1; rowTiles <= 216; rowTiles++) {
    const { even } = sawtooth[rowTiles - 1];
    assert(efficiency("streamK", rowTiles) > (even - 1) / even);
  }
});

Deno.test("lean shows what it claims", () => {
  const { checks } = lean.count();
  assert(checks.length > 0);
  for (const { claim, holds } of checks) assert(holds, claim);
});

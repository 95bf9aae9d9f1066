import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { FreeExtents } from "../../../src/cache/extent/free_extents.ts";
import { property } from "../../support/property.ts";

/** The free runs of a row of blocks, of which some are free. */
function runsOf(free: readonly boolean[]) {
  const runs: { start: number; blocks: number }[] = [];
  free.forEach((it, id) => {
    if (!it) return;
    if (id > 0 && free[id - 1]) runs[runs.length - 1].blocks++;
    else runs.push({ start: id, blocks: 1 });
  });
  return runs;
}

Deno.test("FreeExtents.bestFit() takes the shortest, and of those the first", () => {
  const free = new FreeExtents(20);
  for (const start of [4, 7, 11, 14]) free.take({ start, blocks: 1 });
  // Runs of 4, 2, 3, 2 and 5 blocks.
  const starts = [1, 2, 3, 4, 5, 6].map((blocks) =>
    free.bestFit(blocks)?.start
  );
  assertEquals(starts, [5, 5, 8, 0, 15, undefined]);
});

Deno.test("FreeExtents takes and gives no blocks without a change", () => {
  const free = new FreeExtents(3);
  free.take({ start: 1, blocks: 0 });
  free.give({ start: 0, blocks: 0 });
  assertEquals(free.runs, [{ start: 0, blocks: 3 }]);
  assertEquals(free.blocks, 3);
});

property(
  "FreeExtents equals a row of blocks under any takes and gives",
  [
    fc.integer({ min: 1, max: 12 }),
    fc.array(fc.tuple(fc.boolean(), fc.nat(), fc.nat()), { size: "+1" }),
  ],
  (capacity, steps) => {
    const free = new FreeExtents(capacity);
    const model: boolean[] = new Array(capacity).fill(true);
    for (const [takes, pick, length] of steps) {
      const start = pick % capacity;
      const end = start + 1 + length % (capacity - start);
      const run = { start, blocks: end - start };
      const part = model.slice(start, end);
      assertEquals(free.covers(run), part.every((it) => it), "covers");
      if (!part.every((it) => it === takes)) continue;
      if (takes) free.take(run);
      else free.give(run);
      model.fill(!takes, start, end);
      const runs = runsOf(model);
      assertEquals(free.runs, runs);
      assertEquals(free.blocks, model.filter((it) => it).length);
      assertEquals(free.largest, Math.max(0, ...runs.map((r) => r.blocks)));
    }
  },
);

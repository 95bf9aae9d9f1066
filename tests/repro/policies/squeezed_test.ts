import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  countSqueezed,
  squeezedReport,
} from "../../../repro/policies/squeezed.ts";
import {
  countBudget,
  countQuantile,
  plantedContext,
} from "../../../repro/policies/squeezed_counts.ts";

const CONTEXT = plantedContext(200, 3);

Deno.test("plantedContext() has each key in a cluster, and each cluster in one above", () => {
  const { keys, level, coarse } = CONTEXT;
  for (
    const [clusters, { counts, labels }] of [[10, level], [2, coarse]] as const
  ) {
    assertEquals(counts.length, clusters);
    assertEquals(Array.from(counts).reduce((sum, count) => sum + count), keys);
    assert(Array.from(labels).every((label) => label < clusters));
  }
  assertEquals(level.labels.length, keys);
  assertEquals(coarse.labels.length, 10);
  assertEquals(plantedContext(200, 3), CONTEXT);
});

Deno.test("countQuantile() looks up what the upper level leaves", () => {
  for (const quantile of [0.3, 0.9]) {
    const { calibrated, lookups, survivors } = countQuantile(CONTEXT, quantile);
    const largest = Math.max(...Array.from(CONTEXT.level.counts)) / 200;
    assert(
      calibrated <= 1 - quantile + 1e-9 && calibrated > 1 - quantile - largest,
    );
    assertEquals(lookups[0], 10);
    assertEquals(survivors[0], 2);
    assertAlmostEquals(lookups[1], survivors[0] + survivors[1], 1e-12);
    assert(survivors[1] >= 1 && survivors[1] <= 10);
  }
  // The upper level drops more where more is to be dropped.
  const context = plantedContext(400, 3);
  const [some, most] = [0.3, 0.9].map((quantile) =>
    countQuantile(context, quantile).survivors[1]
  );
  assert(some > most, `${some} and ${most}`);
});

Deno.test("countBudget() is dense attention with all keys, and never beyond its bound", () => {
  const all = countBudget(CONTEXT, 1);
  assertEquals([all.kept, all.error, all.random], [1, 0, 0]);
  assertAlmostEquals(all.mass, 1, 1e-12);
  const some = countBudget(CONTEXT, 0.25);
  assert(some.kept <= 0.25 && some.kept > 0.05);
  assert(some.bounded && some.mass < 1);
  assert(some.error > 0 && some.error < some.random);
});

Deno.test("squeezed finds what it says", () => {
  const { checks } = squeezedReport(countSqueezed([300, 600]));
  for (const { claim, holds } of checks) assert(holds, claim);
});

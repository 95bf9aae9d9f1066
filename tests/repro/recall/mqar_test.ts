import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  hashedShare,
  inWindow,
  recalled,
  recallShare,
  recallTask,
} from "../../../repro/recall/mqar.ts";
import { sum } from "../../../repro/experiment.ts";
import { property } from "../../support/property.ts";

const memories = fc.record({ slots: fc.nat(14), window: fc.nat(40) });

property(
  "recallShare() is what recalled() answers, in the mean over all shifts",
  [fc.integer({ min: 1, max: 12 }), memories],
  (pairs, memory) => {
    const answered = Array.from({ length: pairs }, (_, shift) => {
      const task = recallTask(pairs, memory, shift);
      return recalled(task, memory).filter(Boolean).length;
    });
    const share = sum(answered) / pairs ** 2;
    assert(Math.abs(share - recallShare(pairs, memory)) < 1e-12);
  },
);

property(
  "recallShare() rises with slots and with the window, to all",
  [fc.integer({ min: 1, max: 12 }), memories],
  (pairs, memory) => {
    const share = recallShare(pairs, memory);
    const { slots, window } = memory;
    assert(recallShare(pairs, { window, slots: slots + 1 }) >= share);
    assert(recallShare(pairs, { slots, window: window + 1 }) >= share);
    assertEquals(recallShare(pairs, { slots: pairs, window }), 1);
    assertEquals(recallShare(pairs, { slots, window: 3 * pairs }), 1);
    assertEquals(
      recallShare(pairs, { slots, window: 0 }),
      Math.min(1, slots / pairs),
    );
  },
);

Deno.test("inWindow() counts from the query to the value, both among them", () => {
  const near = (window: number) => inWindow({ pairs: 3, window }, 1, 2);
  // The query stands at 7, the last pair's value at 5.
  assertEquals([1, 2].map(near), [false, true]);
});

Deno.test("hashedShare() is the mean of all choices of keys", () => {
  const [pairs, slots, keysPerSlot] = [3, 2, 3];
  const keys = slots * keysPerSlot;
  const counts: number[] = [];
  for (let a = 0; a < keys; a++) {
    for (let b = 0; b < keys; b++) {
      for (let c = 0; c < keys; c++) {
        if (a === b || b === c || a === c) continue;
        const task = {
          slots: [a, b, c].map((key) => key % slots),
          values: [0, 1, 2],
          queries: [0, 1, 2],
        };
        counts.push(
          recalled(task, { slots, window: 0 }).filter(Boolean).length,
        );
      }
    }
  }
  const mean = sum(counts) / counts.length / pairs;
  assert(Math.abs(mean - hashedShare(pairs, slots, keysPerSlot)) < 1e-12);
  assertThrows(() => hashedShare(7, 2, 3), RangeError, "pairs");
});

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  checkSnapshots,
  SnapshotLengths,
} from "../../../src/cache/state/snapshot_policy.ts";
import { property } from "../../support/property.ts";

Deno.test("checkSnapshots() fills a policy in, and refuses what is none", () => {
  assertEquals(checkSnapshots({}), {
    every: Infinity,
    promptEnd: true,
    branches: true,
  });
  for (const every of [0, -1, 1.5, NaN]) {
    assertThrows(
      () => checkSnapshots({ every }),
      RangeError,
      "snapshots.every",
    );
  }
  for (const name of ["promptEnd", "branches"]) {
    assertThrows(
      () => checkSnapshots({ [name]: 1 as never }),
      TypeError,
      `snapshots.${name} must be a boolean`,
    );
  }
  assertThrows(
    () => checkSnapshots({ each: 1 } as never),
    TypeError,
    "each must",
  );
});

Deno.test("SnapshotLengths() has the end of the prompt and its branch", () => {
  const lengths = (beginning: [number, number, number]) => {
    const [length, cached, shared] = beginning;
    const policy = checkSnapshots({});
    return new SnapshotLengths(policy, 4, { length, cached, shared })
      .between(0, 100);
  };
  assertEquals(lengths([9, 0, 0]), [8]);
  // The last token is computed, so that of 8 tokens 4 are found.
  assertEquals(lengths([8, 0, 0]), [4]);
  assertEquals(lengths([4, 0, 0]), []);
  assertEquals(lengths([0, 0, 0]), []);
  assertEquals(lengths([20, 4, 8]), [8, 16]);
  assertEquals(lengths([20, 8, 8]), [16]);
  assertEquals(lengths([20, 16, 16]), []);
  const none = new SnapshotLengths(undefined, 4, {
    length: 20,
    cached: 0,
    shared: 8,
  });
  assertEquals([none.between(0, 100), none.has(8)], [[], false]);
});

property(
  "SnapshotLengths.between() gives each length that it has, in order",
  [
    fc.record({
      every: fc.constantFrom(1, 2, 3, Infinity),
      promptEnd: fc.boolean(),
      branches: fc.boolean(),
    }),
    fc.integer({ min: 1, max: 5 }),
    fc.nat(60),
    fc.tuple(fc.nat(3), fc.nat(5)),
    fc.tuple(fc.nat(70), fc.nat(70)),
  ],
  (policy, blockSize, length, [cached, more], [start, count]) => {
    const lengths = new SnapshotLengths(policy, blockSize, {
      length,
      cached: cached * blockSize,
      shared: (cached + more) * blockSize,
    });
    const all = Array.from({ length: count }, (_, i) => start + 1 + i)
      .filter((at) => at < start + count && lengths.has(at));
    assertEquals(lengths.between(start, start + count), all);
    for (const at of all) assertEquals(at % blockSize, 0);
  },
);

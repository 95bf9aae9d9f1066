import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  footprints,
  grownCapacity,
  type GrowthPolicy,
} from "../../../src/cache/mod.ts";
import { GROWTH_POLICIES } from "../../../src/cache/extent/growth.ts";
import { property } from "../../support/property.ts";

Deno.test("grownCapacity() rounds up by each policy", () => {
  const of = (policy: GrowthPolicy) =>
    [0, 1, 4, 5, 16, 17, 33, 50].map((length) =>
      grownCapacity(length, { policy, blockSize: 4, maxLength: 50 })
    );
  assertEquals(of("page"), [0, 4, 4, 8, 16, 20, 36, 52]);
  assertEquals(of("powerOfTwo"), [0, 4, 4, 8, 16, 32, 52, 52]);
  assertEquals(of("max"), [0, 52, 52, 52, 52, 52, 52, 52]);
  assertEquals(grownCapacity(17, { blockSize: 16 }), 32);
  assertEquals(
    grownCapacity(65, { blockSize: 16, policy: "powerOfTwo" }),
    128,
  );
});

Deno.test("grownCapacity() throws on bad arguments", () => {
  const of = (length: unknown, options: object) => () =>
    grownCapacity(length as number, { blockSize: 4, ...options });
  assertThrows(of(1, { policy: "half" }), TypeError, "policy must be one of");
  assertThrows(of("1", {}), TypeError, "length must");
  assertThrows(of(-1, {}), RangeError, "length must");
  assertThrows(of(1, { blockSize: 0 }), RangeError, "blockSize must");
  assertThrows(of(9, { maxLength: 8 }), RangeError, "at most maxLength, 8");
  assertThrows(of(1, { policy: "max" }), RangeError, "maxLength must");
});

property(
  "grownCapacity() orders the policies and agrees with footprints()",
  [
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 20 }),
    fc.nat(80),
  ],
  (length, blockSize, room) => {
    const maxLength = length + room;
    const [page, pow2, max] = GROWTH_POLICIES.map((policy) =>
      grownCapacity(length, { policy, blockSize, maxLength })
    );
    assert(length <= page && page < length + blockSize);
    assert(page <= pow2 && pow2 <= max && max < maxLength + blockSize);
    const counted = footprints({ lengths: [length], blockSize, maxLength });
    assertEquals(
      [page, pow2, max].map((n) => n / blockSize),
      [counted.paged.blocks, counted.pow2.blocks, counted.max.blocks],
    );
    const before = grownCapacity(length - 1, {
      policy: "powerOfTwo",
      blockSize,
      maxLength,
    });
    assert(before <= pow2, "growing never shrinks");
  },
);

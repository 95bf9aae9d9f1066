import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { prefixTokens } from "../../../src/model/mod.ts";
import { property } from "../../support/property.ts";

property(
  "prefixTokens() is the prompt's beginning, filled up after it",
  [fc.array(fc.nat(9), { maxLength: 9 }), fc.nat(12)],
  (prompt, length) => {
    const found = prefixTokens(prompt, { length, padding: 77 });
    const real = Math.min(prompt.length, length);
    assertEquals(found.length, real);
    assertEquals(found.tokens.length, length);
    assertEquals([...found.tokens.subarray(0, real)], prompt.slice(0, real));
    assertEquals(
      [...found.tokens.subarray(real)],
      Array(length - real).fill(77),
    );
  },
);

Deno.test("prefixTokens() refuses a shorter prompt unless padding is said", () => {
  assertThrows(
    () => prefixTokens([1, 2], { length: 3 }),
    RangeError,
    "prompt must have at least length (3) tokens; say padding to fill it up: " +
      "current value is 2",
  );
  assertEquals(prefixTokens([1, 2], { length: 2 }).length, 2);
  assertThrows(
    () => prefixTokens([1, -2], { length: 1 }),
    RangeError,
    "prompt[1] must be an integer in 0..4294967295",
  );
  assertThrows(
    () => prefixTokens([1], { length: -1 }),
    RangeError,
    "length must be an integer >= 0",
  );
  assertThrows(
    () => prefixTokens([1], { length: 1, padToken: 0 } as { length: number }),
    TypeError,
    "write padding",
  );
});

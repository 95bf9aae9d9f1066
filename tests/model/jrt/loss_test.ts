import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { prefixLoss } from "../../../src/model/mod.ts";
import { property } from "../../support/property.ts";

const MASK = 99;

property(
  "prefixLoss() asks for masked tokens of the prefix and for next ones after it",
  [
    fc.array(fc.nat(9), { maxLength: 40 }),
    fc.nat(40),
    fc.constantFrom(0, 0.15, 0.9),
    fc.nat(5),
  ],
  (tokens, length, maskRate, seed) => {
    const prefixLength = Math.min(length, tokens.length);
    const { inputs, targets, weights, masked } = prefixLoss(tokens, {
      prefixLength,
      maskToken: MASK,
      maskRate,
      seed,
    });
    const asked = Math.max(0, tokens.length - 1 - prefixLength);
    let [prefix, next] = [0, 0];
    tokens.forEach((token, i) => {
      const hidden = masked.includes(i);
      assertEquals(inputs[i], hidden ? MASK : token);
      if (i < prefixLength) {
        assertEquals(targets[i], hidden ? token : 0);
        assertEquals(weights[i] > 0, hidden);
        prefix += weights[i];
      } else {
        assert(!hidden);
        assertEquals(targets[i], tokens[i + 1] ?? 0);
        assertEquals(weights[i] > 0, i + 1 < tokens.length);
        next += weights[i];
      }
    });
    const near = (a: number, b: number) => Math.abs(a - b) < 1e-6;
    assert(near(prefix, masked.length > 0 ? 0.25 : 0), String(prefix));
    assert(near(next, asked > 0 ? 1 : 0), String(next));
  },
);

Deno.test("prefixLoss() masks 15 % of the prefix, by seed, sequence and position", () => {
  const tokens = new Uint32Array(20000);
  const of = (more: object) =>
    prefixLoss(tokens, { prefixLength: 20000, maskToken: MASK, ...more })
      .masked;
  const masked = of({});
  // Five standard deviations of a binomial distribution.
  assert(Math.abs(masked.length - 3000) < 5 * Math.sqrt(20000 * 0.15 * 0.85));
  assertEquals(of({ seed: 0, sequence: 0 }), masked);
  const both = (other: readonly number[]) =>
    other.filter((i) => masked.includes(i)).length;
  for (const other of [of({ seed: 1 }), of({ sequence: 1 })]) {
    const expected = other.length * 0.15;
    assert(Math.abs(both(other) - expected) < 5 * Math.sqrt(expected));
  }
  const short = prefixLoss(tokens.subarray(0, 100), {
    prefixLength: 50,
    maskToken: MASK,
  });
  assertEquals(short.masked, masked.filter((i) => i < 50));
});

Deno.test("prefixLoss() refuses what it does not take", () => {
  const options = { prefixLength: 2, maskToken: 0 };
  const bad: readonly [object, typeof TypeError, string][] = [
    [
      { prefixLength: 4 },
      RangeError,
      "prefixLength must be at most the number",
    ],
    [{ maskRate: 1 }, RangeError, "maskRate must be in [0, 1)"],
    [{ maskWeight: -1 }, RangeError, "maskWeight must be >= 0"],
    [{ maskToken: 0.5 }, RangeError, "maskToken must be an integer"],
    [{ rate: 0.1 }, TypeError, "write maskRate"],
  ];
  for (const [change, kind, text] of bad) {
    assertThrows(
      () => prefixLoss([1, 2, 3], { ...options, ...change }),
      kind,
      text,
    );
  }
  for (const token of [-100, 0.5, NaN]) {
    assertThrows(
      () => prefixLoss([1, 2, token], options),
      RangeError,
      "tokens[2] must be an integer in 0..4294967295",
    );
  }
  assertThrows(
    () => prefixLoss(3 as unknown as number[], options),
    TypeError,
    "tokens must be an array of tokens",
  );
});

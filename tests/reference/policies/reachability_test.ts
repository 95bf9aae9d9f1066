import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { reachability } from "../../../reference/policies/reachability.ts";
import { property } from "../../support/property.ts";

const SIZE = 7;

/** Pairs that are seen, by head. */
const edges = fc.array(
  fc.array(fc.boolean(), { minLength: SIZE * SIZE, maxLength: SIZE * SIZE }),
  { minLength: 1, maxLength: 3 },
);

property(
  "reachability() follows every path of so many steps, and no other",
  [edges, fc.integer({ min: 0, max: 4 })],
  (heads, layers) => {
    const sees = (query: number, key: number) =>
      heads.some((seen) => seen[query * SIZE + key]);
    const reached = reachability({
      tokens: SIZE,
      heads: heads.length,
      mask: (_, head, query, key) => heads[head][query * SIZE + key],
      layers,
    });
    // By walking from each token, where a step may stay.
    for (let start = 0; start < SIZE; start++) {
      let found = new Set([start]);
      for (let i = 0; i < layers; i++) {
        found = new Set([
          ...found,
          ...Array.from({ length: SIZE }, (_, key) => key)
            .filter((key) => [...found].some((at) => sees(at, key))),
        ]);
      }
      assertEquals(
        [...reached.subarray(start * SIZE, (start + 1) * SIZE)],
        Array.from({ length: SIZE }, (_, key) => found.has(key) ? 1 : 0),
      );
    }
  },
);

Deno.test("reachability() refuses what is no number of layers or heads", () => {
  const options = { tokens: 1, heads: 1, mask: () => true };
  assertEquals([...reachability(options)], [1]);
  assertEquals(reachability({ ...options, tokens: 0 }).length, 0);
  const bad = [{ layers: -1 }, { layers: 0.5 }, { heads: 0 }, { tokens: -1 }];
  for (const one of bad) {
    const [name] = Object.keys(one);
    assertThrows(() => reachability({ ...options, ...one }), RangeError, name);
  }
});

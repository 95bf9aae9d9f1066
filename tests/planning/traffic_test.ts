import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  errorBound,
  type ReferenceProblem,
} from "../../reference/mod.ts";
import { flash1Schedule } from "../../reference/schedules/flash1.ts";
import { flash2Schedule } from "../../reference/schedules/flash2.ts";
import type { ScheduleTiles } from "../../reference/schedules/types.ts";
import { smallCacheSchedule } from "../../reference/schedules/small_cache.ts";
import { standardSchedule } from "../../reference/schedules/standard.ts";
import {
  flash1Cost,
  flash2Cost,
  type ScheduleCost,
  smallCacheCost,
  smallCacheElements,
  standardCost,
  tileElements,
} from "../../src/planning/mod.ts";
import { assertWithin, cases, problemOf } from "../reference/cases.ts";
import { property } from "../support/property.ts";
import { assertCost, sizesOf, sparse } from "./schedule_cases.ts";

const odd = cases({
  queryLength: fc.oneof(fc.nat(9), fc.constantFrom(16, 33)),
  keyLength: fc.oneof(fc.nat(9), fc.constantFrom(31, 64)),
  headDim: fc.constantFrom(1, 3, 8, 17),
});

const tileSizes: fc.Arbitrary<ScheduleTiles> = fc.record({
  rows: fc.integer({ min: 1, max: 20 }),
  keys: fc.integer({ min: 1, max: 20 }),
});

/** It rounds three times a step: it normalises in every one. */
function flash1Bound(problem: ReferenceProblem, { keys }: ScheduleTiles) {
  return errorBound(problem, { keys: Math.max(1, Math.floor(keys / 3)) });
}

property(
  "flash2Cost() is what the schedule moves, element by element",
  [odd, tileSizes],
  (c, tiles) => {
    const problem = problemOf(c);
    const result = flash2Schedule(problem, tiles);
    assertCost(result, flash2Cost(sizesOf(c), tiles));
    const bound = errorBound(problem, { keys: tiles.keys });
    assertWithin(result, attention(problem), bound);
  },
);

property(
  "flash1Cost() is what the schedule moves, element by element",
  [odd, tileSizes],
  (c, tiles) => {
    const problem = problemOf(c);
    const result = flash1Schedule(problem, tiles);
    assertCost(result, flash1Cost(sizesOf(c), tiles));
    assertWithin(result, attention(problem), flash1Bound(problem, tiles));
  },
);

property(
  "flash1Cost() and flash2Cost() of tiles that are visited",
  [odd, tileSizes],
  (c, tiles) => {
    const { visits, problem } = sparse(c, tiles);
    const own = { ...tiles, visits };
    const sizes = sizesOf(c);
    const two = flash2Schedule(problem, own);
    const one = flash1Schedule(problem, own);
    assertCost(two, flash2Cost(sizes, own));
    assertCost(one, flash1Cost(sizes, own));
    const bound = flash1Bound(problem, tiles);
    const expected = attention(problem);
    assertWithin(two, expected, bound);
    assertWithin(one, expected, bound);
  },
);

property(
  "standardCost() is what the schedule moves, element by element",
  [
    odd,
    fc.record({
      rows: fc.integer({ min: 1, max: 20 }),
      columns: fc.integer({ min: 1, max: 7 }),
      passes: fc.constantFrom(1 as const, 3 as const),
    }, { requiredKeys: [] }),
  ],
  (c, tiles) => {
    const problem = problemOf(c);
    const result = standardSchedule(problem, tiles);
    assertCost(result, standardCost(sizesOf(c), tiles));
    const bound = errorBound(problem, { keys: 1 });
    assertWithin(result, attention(problem), bound);
  },
);

property(
  "smallCacheCost() is what the schedule moves, element by element",
  [odd, fc.integer({ min: 1, max: 20 })],
  (c, tile) => {
    const problem = problemOf(c);
    const result = smallCacheSchedule(problem, tile);
    assertCost(result, smallCacheCost(sizesOf(c), tile));
    const bound = errorBound(problem, { keys: 1 });
    assertWithin(result, attention(problem), bound);
  },
);

property(
  "tileElements() is the fast memory that a schedule of whole tiles holds",
  [odd, tileSizes, fc.integer({ min: 1, max: 3 })],
  (c, tiles, count) => {
    const whole = {
      ...c,
      queriesPerKvHead: 1,
      queryLength: tiles.rows * count,
      keyLength: tiles.keys * count,
    };
    const problem = problemOf(whole);
    const expected = tileElements(sizesOf(whole), tiles);
    assertEquals(flash2Schedule(problem, tiles).peakElements, expected);
    assertEquals(flash1Schedule(problem, tiles).peakElements, expected);
  },
  { runs: 40 },
);

property(
  "smallCacheElements() is the fast memory that square tiles hold",
  [odd, fc.integer({ min: 1, max: 6 })],
  (c, tile) => {
    const whole = {
      ...c,
      queriesPerKvHead: 1,
      queryLength: 2 * tile,
      keyLength: tile,
      headDim: tile,
      valueHeadDim: tile,
    };
    const { peakElements } = smallCacheSchedule(problemOf(whole), tile);
    assertEquals(peakElements, smallCacheElements(tile));
  },
  { runs: 40 },
);

Deno.test("costs are the papers' formulas", () => {
  const [n, d] = [512, 64];
  const sizes = { queries: n, keys: n, headDim: d, lse: false };
  const total = ({ traffic }: ScheduleCost) =>
    Object.values(traffic).reduce((sum, t) => sum + t.reads + t.writes, 0);
  // FlashAttention's Alg. 0, Alg. 1 and line 2; FlashAttention-2's Alg. 1.
  assertEquals(total(standardCost(sizes)), 4 * n * d + 4 * n * n);
  const keys = 16;
  const steps = n / keys;
  assertEquals(
    total(flash1Cost(sizes, { rows: 16, keys })),
    2 * n * d + steps * (3 * n * d + 4 * n) + n * (d + 2),
  );
  assertEquals(
    total(flash2Cost({ ...sizes, lse: true }, { rows: 64, keys })),
    2 * n * d + n + (n / 64) * 2 * n * d,
  );
});

Deno.test("schedules refuse tiles and problems that they do not take", () => {
  const [c] = fc.sample(cases({ batch: fc.constant(0) }), 1);
  const problem = problemOf(c);
  const bad: readonly [() => void, typeof TypeError, string][] = [
    [
      () => flash1Schedule(problem, { rows: 0, keys: 1 }),
      RangeError,
      "rows must be an integer >= 1: current value is 0",
    ],
    [
      () => flash2Schedule(problem, { rows: 1, keys: 0.5 }),
      RangeError,
      "keys must be an integer >= 1: current value is 0.5",
    ],
    [
      () => standardSchedule(problem, { columns: 0 }),
      RangeError,
      "columns must be an integer >= 1: current value is 0",
    ],
    [
      () => standardSchedule(problem, { passes: 2 as 1 }),
      RangeError,
      "passes must be 1 or 3: current value is 2",
    ],
    [
      () => smallCacheSchedule(problem, 0),
      RangeError,
      "tile must be an integer >= 1: current value is 0",
    ],
    [
      () => flash2Schedule({ ...problem, keep: () => 1 }, { rows: 1, keys: 1 }),
      TypeError,
      "keep must not be given",
    ],
    [
      () => standardCost(sizesOf(c), { passes: 2 as 1 }),
      RangeError,
      "tiles.passes must be 1 or 3: current value is 2",
    ],
  ];
  for (const [call, kind, text] of bad) assertThrows(call, kind, text);
});

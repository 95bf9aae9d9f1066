import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type AttentionSizes,
  flash1Cost,
  flash2Cost,
  planTiles,
  smallCacheCost,
  smallCacheElements,
  smallCacheTile,
  tileElements,
  totalTraffic,
  trafficBound,
  trafficBytes,
} from "../../src/planning/mod.ts";
import { property } from "../support/property.ts";

const sizesOf: fc.Arbitrary<AttentionSizes> = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  queries: fc.integer({ min: 1, max: 3000 }),
  keys: fc.integer({ min: 1, max: 3000 }),
  queryHeads: fc.constantFrom(2, 4),
  kvHeads: fc.constantFrom(1, 2),
  headDim: fc.integer({ min: 1, max: 256 }),
  valueHeadDim: fc.integer({ min: 1, max: 256 }),
});

const memory = fc.integer({ min: 4096, max: 262_144 });

property(
  "planTiles() fits, is the cheapest, and is never below the floor",
  [sizesOf, memory, fc.nat(4096)],
  (sizes, workgroupBytes, registerElements) => {
    const limits = { workgroupBytes, registerElements };
    const plan = planTiles(sizes, limits);
    const fast = Math.floor(workgroupBytes / 4) + registerElements;
    assertEquals(plan.fastElements, fast);
    assertEquals(plan.elements, plan.candidates[0].elements);
    for (const { schedule, tile, ...candidate } of plan.candidates) {
      assert(candidate.heldElements <= fast, `${schedule} holds too much`);
      assert(candidate.elements >= plan.elements);
      assert(candidate.elements >= plan.bound.floor, `${schedule} too little`);
      assert(candidate.elements >= plan.bound.order);
      if (schedule === "small-cache") {
        assertEquals(candidate.cost, smallCacheCost(sizes, tile.rows));
        assertEquals(candidate.heldElements, smallCacheElements(tile.rows));
      } else {
        const cost = schedule === "fa1" ? flash1Cost : flash2Cost;
        assertEquals(candidate.cost, cost(sizes, tile));
        assertEquals(candidate.heldElements, tileElements(sizes, tile));
        // Twice as many rows or keys, whichever it lives on, have no room.
        const more = schedule === "fa1"
          ? { rows: 8, keys: 2 * tile.keys }
          : { rows: 2 * tile.rows, keys: 8 };
        const less = totalTraffic(cost(sizes, more).traffic);
        if (less < candidate.elements && tile.rows >= 8 && tile.keys >= 8) {
          assert(tileElements(sizes, more) > fast, `${schedule} has room`);
        }
      }
    }
    const { lanes, rowsPerLane, keys } = plan.microTile;
    assert(lanes <= 256 && lanes * rowsPerLane >= plan.tile.rows);
    assert(keys >= 1 && keys <= 32);
    const [first] = planTiles(sizes, { ...limits, schedules: [plan.schedule] })
      .candidates;
    assertEquals(first, plan.candidates[0]);
  },
);

property(
  "planTiles() never moves more with more memory",
  [sizesOf, memory, memory],
  (sizes, a, b) => {
    const [less, more] = [Math.min(a, b), Math.max(a, b)];
    for (const schedule of ["fa1", "fa2"] as const) {
      const of = (workgroupBytes: number) => {
        const limits = { workgroupBytes, schedules: [schedule] };
        try {
          return planTiles(sizes, limits);
        } catch {
          return undefined;
        }
      };
      const small = of(less);
      if (!small || Math.min(small.tile.rows, small.tile.keys) < 8) continue;
      assert(of(more)!.elements <= small.elements);
    }
  },
);

property(
  "trafficBound() is continuous where a head dim squared fits",
  [sizesOf, fc.integer({ min: 2, max: 256 })],
  (sizes, headDim) => {
    const square = { ...sizes, headDim, valueHeadDim: headDim };
    const at = trafficBound(square, headDim * headDim);
    const below = trafficBound(square, headDim * headDim - 1);
    const pairs = sizes.batch! * sizes.queries * sizes.keys *
      sizes.queryHeads!;
    assertEquals(at.regime, "large cache");
    assertEquals(below.regime, "small cache");
    assertEquals(at.order, pairs);
    assert(below.order >= at.order);
    assert(below.order <= at.order * (1 + 1 / (headDim * headDim - 1)));
    assertEquals(at.elements, Math.max(at.order, at.floor));
  },
);

Deno.test("trafficBound() has a floor of each input and output once", () => {
  const sizes = { queries: 10, keys: 30, headDim: 4, valueHeadDim: 6 };
  const { floor } = trafficBound(sizes, 1000);
  assertEquals(floor, 10 * (4 + 6 + 1) + 30 * (4 + 6));
  assertEquals(trafficBound({ ...sizes, keys: 0 }, 1000).floor, 10 * 7);
  assertEquals(trafficBound({ ...sizes, queries: 0 }, 1000).floor, 0);
});

Deno.test("smallCacheTile() is the largest that fits", () => {
  for (let elements = 5; elements < 3000; elements++) {
    const tile = smallCacheTile(elements);
    assert(smallCacheElements(tile) <= elements);
    assert(smallCacheElements(tile + 1) > elements);
  }
});

Deno.test("trafficBytes() counts statistics in float32", () => {
  const { traffic } = flash1Cost(
    { queries: 8, keys: 8, headDim: 4 },
    { rows: 4, keys: 4 },
  );
  const half = trafficBytes(traffic, "f16");
  const single = trafficBytes(traffic, "f32");
  assertEquals(half.query!.reads, 2 * traffic.query!.reads);
  assertEquals(half.statistics!.writes, 4 * traffic.statistics!.writes);
  assertEquals(half.lse, single.lse);
  assertEquals(totalTraffic(single), 4 * totalTraffic(traffic));
});

Deno.test("planning refuses what it cannot plan", () => {
  const sizes = { queries: 4, keys: 4, headDim: 4 };
  const plan = (limits: object, more: object = {}) => () =>
    planTiles({ ...sizes, ...more }, limits as { workgroupBytes: number });
  const bad: readonly [() => void, typeof TypeError, string][] = [
    [plan({}), TypeError, "limits.workgroupBytes must be an integer"],
    [plan({ workgroupBytes: 3 }), RangeError, "integer >= 4"],
    [plan({ workgroupBytes: 16 }), RangeError, "must have room for a tile"],
    [plan({ maxComputeWorkgroupStorageSize: 1 }), TypeError, "workgroupBytes"],
    [
      plan({ workgroupBytes: 4096, schedules: ["fa3"] }),
      TypeError,
      'a list of "fa2" or "fa1" or "small-cache"',
    ],
    [
      plan({ workgroupBytes: 4096, schedules: [] }),
      TypeError,
      "limits.schedules",
    ],
    [plan({ workgroupBytes: 4096 }, { heads: 2 }), TypeError, "queryHeads"],
    [
      plan({ workgroupBytes: 4096 }, { headDim: 0 }),
      RangeError,
      "sizes.headDim must be an integer >= 1",
    ],
    [
      plan({ workgroupBytes: 4096 }, { queryHeads: 3, kvHeads: 2 }),
      RangeError,
      "must be a multiple of kvHeads (2): current value is 3",
    ],
    [
      () => flash2Cost(sizes, { rows: 0, keys: 1 }),
      RangeError,
      "tiles.rows must be an integer >= 1: current value is 0",
    ],
    [
      () => flash1Cost(sizes, { rows: 1, keys: 1, visits: [] as never }),
      TypeError,
      "tiles.visits must be a function",
    ],
    [() => smallCacheTile(4), RangeError, "elements must be an integer >= 5"],
    [() => smallCacheCost(sizes, 1.5), RangeError, "tile must be an integer"],
    [() => trafficBound(sizes, 0), RangeError, "fastElements"],
  ];
  for (const [call, kind, text] of bad) assertThrows(call, kind, text);
});

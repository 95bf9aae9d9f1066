import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OutOfBlocksError } from "../../../src/cache/mod.ts";
import {
  type MapperOptions,
  MapperSimulator,
} from "../../../repro/paging/mapper_simulator.ts";
import { property } from "../../support/property.ts";

/** 4 tokens a page, 2 tensors. */
function make(options: Partial<MapperOptions> = {}): MapperSimulator {
  return new MapperSimulator({
    slots: 4,
    pages: 40,
    pageBytes: 64,
    tokenBytes: 16,
    tensors: 2,
    ...options,
  });
}

function run(mapper: MapperSimulator, length: number): number {
  const slot = mapper.allocate(length);
  mapper.step(new Map([[slot, length]]));
  return slot;
}

Deno.test("MapperSimulator.step() maps a page of each tensor as needed", () => {
  const mapper = make();
  assertEquals([mapper.tokensPerPage, mapper.freePages], [4, 20]);
  const slot = run(mapper, 9);
  assertEquals([mapper.mappedPages(slot), mapper.freePages], [3, 17]);
  assertEquals(mapper.counters, {
    mapCalls: 6,
    criticalMapCalls: 6,
    unmapCalls: 0,
  });
  assertEquals(mapper.wastedBytes, 2 * (3 * 64 - 9 * 16));
  mapper.step(new Map([[slot, 12]]));
  assertEquals(mapper.counters.mapCalls, 6);
  mapper.step(new Map([[slot, 13]]));
  assertEquals(mapper.counters.mapCalls, 8);
  mapper.verify();
});

Deno.test("MapperSimulator keeps a freed slot's pages for the next", () => {
  const mapper = make();
  mapper.free(run(mapper, 9));
  assertEquals(mapper.freePages, 17);
  assertEquals(mapper.wastedBytes, 0);
  run(mapper, 12);
  assertEquals(mapper.counters, {
    mapCalls: 6,
    criticalMapCalls: 6,
    unmapCalls: 0,
  });
});

Deno.test("MapperSimulator.allocate() fits best, or as the official code", () => {
  const chosen = (fit: "best" | "official", needed: number) => {
    const mapper = make({ fit });
    const slots = [4, 16, 12, 12].map((length) => run(mapper, length));
    assertEquals(slots, [0, 1, 2, 3]);
    slots.forEach((slot) => mapper.free(slot));
    return mapper.allocate(needed);
  };
  // Mapped: 1, 4, 3, 3 pages.
  assertEquals([3, 4, 5, 12, 13, 17].map((n) => chosen("best", n)), [
    0,
    0,
    2,
    2,
    1,
    1,
  ]);
  // It misses the exact fits, as the first idle slot has fewer pages.
  assertEquals([3, 4, 5, 12, 13, 17].map((n) => chosen("official", n)), [
    0,
    0,
    0,
    0,
    0,
    0,
  ]);
  const mapper = make({ fit: "official" });
  [16, 12, 8].map((n) => run(mapper, n)).forEach((slot) => mapper.free(slot));
  run(mapper, 8);
  assertEquals(mapper.mappedPages(2), 2, "fewer, and enough");
  assertEquals(mapper.counters.mapCalls, 2 * 9);
});

Deno.test("MapperSimulator reclaims from the highest idle slot down", () => {
  const mapper = make({ pages: 12 });
  const slots = [8, 8, 8].map((length) => run(mapper, length));
  assertEquals(mapper.freePages, 0);
  mapper.free(slots[0]);
  mapper.free(slots[2]);
  mapper.step(new Map([[1, 20]]));
  assertEquals([0, 1, 2].map((i) => mapper.mappedPages(i)), [1, 5, 0]);
  assertEquals(mapper.counters.unmapCalls, 6);
  const error = assertThrows(
    () => mapper.step(new Map([[1, 25]])),
    OutOfBlocksError,
  );
  assertEquals([error.needed, error.free], [7, 6]);
  assertEquals(mapper.mappedPages(1), 5);
  mapper.verify();
});

Deno.test("MapperSimulator.stepAsync() maps ahead, off the critical path", () => {
  const mapper = make({ aheadTokens: 2 });
  const slot = mapper.allocate(5);
  for (let length = 5; length <= 17; length++) {
    mapper.stepAsync(new Map([[slot, length]]));
    mapper.verify();
  }
  assertEquals(mapper.counters, {
    mapCalls: 10,
    criticalMapCalls: 4,
    unmapCalls: 0,
  });
});

Deno.test("MapperSimulator.stepAsync() gives up an idle page at a time", () => {
  const mapper = make({ aheadTokens: 1 });
  mapper.free(run(mapper, 8));
  for (const left of [1, 0, 0]) {
    mapper.stepAsync(new Map());
    assertEquals(mapper.mappedPages(0), left);
  }
  assertEquals(mapper.counters.unmapCalls, 4);
});

Deno.test("MapperSimulator throws on bad arguments and changes nothing", () => {
  const mapper = make({ slots: 1 });
  assertThrows(() => mapper.free(0), RangeError, "slot must be active");
  assertThrows(() => mapper.allocate(-1), RangeError, "length must");
  const slot = run(mapper, 5);
  assertThrows(() => mapper.allocate(1), RangeError, "slots must not all");
  const step = (slot: unknown, length: unknown) => () =>
    mapper.step(new Map([[slot as number, length as number]]));
  assertThrows(step(1, 1), RangeError, "slot must");
  assertThrows(step(slot, 4), RangeError, "length must");
  assertThrows(step(slot, "6"), TypeError, "length must");
  assertThrows(() => mapper.mappedPages(1), RangeError, "slot must");
  assertThrows(() => make({ slots: 0 }), RangeError, "slots must");
  assertThrows(() => make({ tokenBytes: 65 }), RangeError, "tokenBytes must");
  assertThrows(() => make({ fit: "first" as never }), TypeError, "fit must");
  assertEquals(mapper.mappedPages(slot), 2);
  mapper.verify();
});

property(
  "MapperSimulator has what every step needs, sync or async",
  [
    fc.integer({ min: 4, max: 30 }),
    fc.constantFrom("best", "official"),
    fc.array(
      fc.tuple(fc.constantFrom("start", "free", "grow", "grow"), fc.nat(20)),
      { maxLength: 60, size: "max" },
    ),
  ],
  (rows, fit, steps) => {
    const options = { pages: rows * 2 + 1, fit, slots: 3 } as const;
    const both = [make(options), make(options)];
    const lengths: Map<number, number>[] = [new Map(), new Map()];
    const pages = (all: Map<number, number>) =>
      [...all.values()].reduce((sum, n) => sum + Math.ceil(n / 4), 0);
    for (const [step, pick] of steps) {
      both.forEach((mapper, i) => {
        const live = lengths[i];
        const slots = [...live.keys()];
        const slot = slots[pick % slots.length];
        if (step === "start" && live.size < 3) {
          live.set(mapper.allocate(pick), 0);
        } else if (step === "free" && slot !== undefined) {
          mapper.free(slot);
          live.delete(slot);
        } else if (slot !== undefined) {
          const longer = new Map(live).set(slot, live.get(slot)! + pick);
          const go = () => i ? mapper.stepAsync(longer) : mapper.step(longer);
          const before = slots.map((s) => mapper.mappedPages(s));
          if (pages(longer) > rows) {
            assertThrows(go, OutOfBlocksError);
            assertEquals(slots.map((s) => mapper.mappedPages(s)), before);
          } else {
            go();
            live.set(slot, longer.get(slot)!);
          }
        }
        for (const [s, length] of live) {
          assert(mapper.mappedPages(s) >= Math.ceil(length / 4));
        }
        assert(mapper.freePages >= 0);
        mapper.verify();
      });
      assertEquals(
        [...lengths[0].values()].sort(),
        [...lengths[1].values()].sort(),
        "sync and async serve the same lengths",
      );
    }
  },
);

property(
  "MapperSimulator waits for fewer maps when they are made ahead",
  [fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 })],
  (prompt, generated) => {
    const [sync, ahead] = [make({ pages: 200 }), make({ pages: 200 })];
    for (const mapper of [sync, ahead]) {
      const slot = mapper.allocate(prompt);
      for (let n = prompt; n <= prompt + generated; n++) {
        const lengths = new Map([[slot, n]]);
        if (mapper === sync) mapper.step(lengths);
        else mapper.stepAsync(lengths);
      }
    }
    const pages = Math.ceil((prompt + generated) / 4);
    assertEquals(sync.counters.criticalMapCalls, 2 * pages);
    assertEquals(ahead.counters.criticalMapCalls, 2 * Math.ceil(prompt / 4));
    assert(ahead.mappedPages(0) >= sync.mappedPages(0));
  },
);

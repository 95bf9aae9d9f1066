import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  causal,
  maskMod,
  maskRuns,
  type MaskRunsOptions,
  prefixLm,
  type Run,
  slidingWindow,
} from "../../../src/mods/mod.ts";
import { countTiles } from "../../../src/mods/block_mask/runs.ts";
import { property } from "../../support/property.ts";
import { maskCases } from "../masks_arbitrary.ts";
import { forEachPosition, interval } from "../trees.ts";

const problems: fc.Arbitrary<MaskRunsOptions> = fc.record({
  batch: interval(0, 1, 1),
  head: interval(0, 1, 1),
  queryStart: fc.integer({ min: -10, max: 110 }),
  queries: fc.integer({ min: 1, max: 12 }),
  keyLength: fc.nat(130),
  tileKeys: fc.integer({ min: 1, max: 20 }),
}).map(({ queries, ...rest }) => ({
  ...rest,
  queryEnd: rest.queryStart + queries - 1,
}));

type TileKind = "empty" | "partial" | "full";

/** Checks that runs are ascending, disjoint, merged, in range; expands them. */
function expand(runs: readonly Run[], options: MaskRunsOptions): TileKind[] {
  const tiles = Math.ceil(options.keyLength / options.tileKeys);
  const kinds: TileKind[] = Array(tiles).fill("empty");
  let end = 0;
  let previous: Run | undefined;
  for (const run of runs) {
    assert(run.count > 0 && run.start >= end && run.start + run.count <= tiles);
    assert(
      previous === undefined || run.start > end || run.full !== previous.full,
      "adjacent runs of a kind must be one",
    );
    end = run.start + run.count;
    kinds.fill(run.full ? "full" : "partial", run.start, end);
    previous = run;
  }
  return kinds;
}

property(
  "maskRuns() agrees with brute force for every shipped mask",
  [maskCases, problems],
  ({ mask, meaning, exact }, options) => {
    const { queryStart, queryEnd, keyLength, tileKeys } = options;
    const kinds = expand(maskRuns([mask], options), options);
    for (const [tile, kind] of kinds.entries()) {
      const start = tile * tileKeys;
      const whole = start + tileKeys <= keyLength;
      let [seen, total] = [0, 0];
      forEachPosition({
        ...options,
        query: [queryStart, queryEnd],
        key: [start, Math.min(start + tileKeys, keyLength) - 1],
      }, (...at) => {
        total++;
        if (meaning(...at)) seen++;
      });
      const full = whole && seen === total;
      if (kind === "full") assert(full, `tile ${tile} is not full`);
      if (kind === "empty") assertEquals(seen, 0, `tile ${tile} is not empty`);
      if (exact && kind === "partial") {
        assert(seen > 0 && !full, `tile ${tile} could be told`);
      }
    }
  },
  { runs: 600 },
);

const OPTIONS: MaskRunsOptions = {
  batch: [0, 0],
  head: [0, 0],
  queryStart: 64,
  queryEnd: 127,
  keyLength: 200,
  tileKeys: 32,
};

Deno.test("maskRuns() gives a full run and a tail without masks", () => {
  assertEquals(maskRuns([], OPTIONS), [
    { start: 0, count: 6, full: true },
    { start: 6, count: 1, full: false },
  ]);
  assertEquals(maskRuns([], { ...OPTIONS, keyLength: 192 }), [
    { start: 0, count: 6, full: true },
  ]);
  assertEquals(maskRuns([], { ...OPTIONS, keyLength: 5 }), [
    { start: 0, count: 1, full: false },
  ]);
  assertEquals(maskRuns([], { ...OPTIONS, keyLength: 0 }), []);
});

Deno.test("maskRuns() splits a causal tile row into full and diagonal", () => {
  assertEquals(maskRuns([causal()], OPTIONS), [
    { start: 0, count: 2, full: true },
    { start: 2, count: 2, full: false },
  ]);
});

Deno.test("maskRuns() leaves no tile for queries before every key", () => {
  const before = { ...OPTIONS, queryStart: -9, queryEnd: -1 };
  assertEquals(maskRuns([causal()], before), []);
});

Deno.test("maskRuns() does not count keys past the last", () => {
  // The window reaches into the tail tile, but only where no key is.
  const options = { ...OPTIONS, keyLength: 40, queryStart: 50, queryEnd: 60 };
  assertEquals(maskRuns([slidingWindow({ left: 2 })], options), []);
});

Deno.test("maskRuns() takes the conjunction of masks", () => {
  const masks = [causal(), slidingWindow({ left: 31 })];
  assertEquals(maskRuns(masks, OPTIONS), [
    { start: 1, count: 3, full: false },
  ]);
});

Deno.test("maskRuns() shares runs only where all sequences agree", () => {
  const mask = prefixLm(Uint32Array.of(32, 96));
  const options = { ...OPTIONS, queryStart: 0, queryEnd: 31 };
  assertEquals(maskRuns([mask], { ...options, batch: [1, 1] }), [
    { start: 0, count: 3, full: true },
  ]);
  assertEquals(maskRuns([mask], { ...options, batch: [0, 1] }), [
    { start: 0, count: 1, full: true },
    { start: 1, count: 2, full: false },
  ]);
});

Deno.test("maskRuns() looks at few tiles of a long causal row", () => {
  let looks = 0;
  const mask = maskMod(
    "counted causal",
    ({ batch, query, key }) => key.le(query).and(batch.ge(0)),
  );
  const options = {
    ...OPTIONS,
    keyLength: 2 ** 30,
    tileKeys: 1,
    queryStart: 2 ** 29,
    queryEnd: 2 ** 29 + 3,
    // The comparison reads the range once for every classified range of tiles.
    batch: new Proxy<[number, number]>([0, 0], {
      get(range, index) {
        if (index === "0") looks++;
        return Reflect.get(range, index);
      },
    }),
  };
  assertEquals(maskRuns([mask], options), [
    { start: 0, count: 2 ** 29 + 1, full: true },
    { start: 2 ** 29 + 1, count: 3, full: false },
  ]);
  assert(looks > 0 && looks < 200, `${looks} looks`);
});

Deno.test("maskRuns() refuses what is no tiling", () => {
  for (
    const [change, message] of [
      [{ tileKeys: 0 }, "tileKeys must be an integer in 1.."],
      [{ keyLength: -1 }, "keyLength must be an integer in 0.."],
      [{ queryStart: 0.5 }, "queryStart must be an integer"],
      [{ queryEnd: 63 }, "queryEnd must be >= queryStart (64)"],
    ] as const
  ) {
    assertThrows(
      () => maskRuns([], { ...OPTIONS, ...change }),
      RangeError,
      message,
    );
  }
});

Deno.test("countTiles() counts visited and full tiles", () => {
  assertEquals(countTiles([]), { visited: 0, full: 0 });
  assertEquals(countTiles(maskRuns([causal()], OPTIONS)), {
    visited: 4,
    full: 2,
  });
});

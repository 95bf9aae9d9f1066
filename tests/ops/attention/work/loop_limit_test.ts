/**
 * Work that is cut to what loops may take: within the limit, and else the same.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import fc from "fast-check";
import type {
  HeadRuns,
  KeyRun,
} from "../../../../src/ops/attention/work/key_runs.ts";
import {
  type LoopCounts,
  withinLoopLimit,
} from "../../../../src/ops/attention/work/loop_limit.ts";
import type {
  PartitionedWork,
  WorkTile,
} from "../../../../src/ops/attention/work/partition.ts";
import { property } from "../../../support/property.ts";

const someSizes: fc.Arbitrary<LoopCounts> = fc.record({
  step: fc.constantFrom(1, 4, 7, 16, 128),
  fullStep: fc.integer({ min: 1, max: 600 }),
  maskedStep: fc.integer({ min: 1, max: 9000 }),
  tile: fc.integer({ min: 1, max: 4000 }),
});

function stepIterations(
  { fullStep, maskedStep }: LoopCounts,
  masked: boolean,
): number {
  return masked ? maskedStep : fullStep;
}

/** Runs in order, in steps: gaps and lengths. */
const someRuns = fc.array(
  fc.record({
    gap: fc.nat({ max: 4 }),
    steps: fc.integer({ min: 1, max: 40 }),
    full: fc.boolean(),
  }),
  { maxLength: 5 },
);

const aTile = fc.record({
  rowTile: fc.nat({ max: 9 }),
  /** One list for all kv heads, or one each. */
  lists: fc.array(someRuns, { minLength: 1, maxLength: 3 }),
  kvHead: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
});

interface Given {
  readonly sizes: LoopCounts;
  readonly work: PartitionedWork;
  readonly maxLoopIterations: number;
}

function runsOf(
  parts: readonly { gap: number; steps: number; full: boolean }[],
  step: number,
): KeyRun[] {
  let at = 0;
  return parts.map(({ gap, steps, full }) => {
    const first = at + gap * step;
    at = first + steps * step;
    return { first, end: at, full };
  });
}

const given: fc.Arbitrary<Given> = fc.record({
  sizes: someSizes,
  tiles: fc.array(aTile, { maxLength: 8 }),
  /** Tiles of each worker, where there are workers. */
  counts: fc.option(fc.array(fc.integer({ min: 1, max: 4 })), {
    nil: undefined,
  }),
  /** How many of its steps a tile may have, about. */
  steps: fc.integer({ min: 1, max: 100 }),
  masked: fc.boolean(),
}).map(({ sizes, tiles, counts, steps, masked }): Given => {
  const made = tiles.map(({ rowTile, lists, kvHead }): WorkTile => ({
    rowTile,
    runs: lists.map((parts) => runsOf(parts, sizes.step)),
    kvHead,
  }));
  const bounds = [0];
  for (const count of counts ?? []) {
    const next = Math.min(bounds.at(-1)! + count, made.length);
    if (next > bounds.at(-1)!) bounds.push(next);
  }
  if (bounds.at(-1)! < made.length) bounds.push(made.length);
  return {
    sizes,
    work: { tiles: made, workers: counts ? bounds : undefined },
    maxLoopIterations: steps * stepIterations(sizes, masked),
  };
});

/** Iterations of a list's steps alone. */
function iterationsOf(runs: readonly KeyRun[], sizes: LoopCounts): number {
  return runs.reduce(
    (sum, { first, end, full }) =>
      sum + (end - first) / sizes.step * stepIterations(sizes, !full),
    0,
  );
}

/** Iterations of a tile's steps, of the kv head with most of them. */
function tileIterations({ runs }: WorkTile, sizes: LoopCounts): number {
  return Math.max(...runs.map((list) => iterationsOf(list, sizes)));
}

/** Steps from a tile's first key to its last, over all lists. */
function spanOf({ runs }: WorkTile, { step }: LoopCounts): number {
  const all = runs.flat();
  if (all.length === 0) return 0;
  return (Math.max(...all.map(({ end }) => end)) -
    Math.min(...all.map(({ first }) => first))) / step;
}

/** Runs one step at a time, so that where they are cut makes no difference. */
function stepsOf(runs: readonly KeyRun[], { step }: LoopCounts): string[] {
  return runs.flatMap(({ first, end, full }) =>
    Array.from(
      { length: (end - first) / step },
      (_, i) => `${first + i * step}${full ? " full" : ""}`,
    )
  );
}

/** What each tile of `before` has become, in order. */
function cutsOf(
  before: readonly WorkTile[],
  after: readonly WorkTile[],
  sizes: LoopCounts,
): WorkTile[][] {
  let next = 0;
  const cuts = before.map((tile) => {
    const wanted = tile.runs.map((runs) => stepsOf(runs, sizes));
    const got = wanted.map((): string[] => []);
    const own: WorkTile[] = [];
    do {
      const part = after[next++];
      assertEquals([part.rowTile, part.kvHead], [tile.rowTile, tile.kvHead]);
      assertEquals(part.runs.length, wanted.length);
      part.runs.forEach((runs, i) => got[i].push(...stepsOf(runs, sizes)));
      own.push(part);
    } while (got.flat().length < wanted.flat().length);
    // All keys of every list, in order, and full where they were.
    assertEquals(got, wanted);
    return own;
  });
  assertEquals(next, after.length, "tiles that nobody asked for");
  return cuts;
}

property(
  "withinLoopLimit() keeps each tile within the limit, or at one step",
  [given],
  ({ sizes, work, maxLoopIterations }) => {
    const { tiles } = withinLoopLimit(work, maxLoopIterations, sizes);
    for (const tile of tiles) {
      const iterations = tileIterations(tile, sizes);
      assert(
        iterations < maxLoopIterations || spanOf(tile, sizes) <= 1,
        `${iterations} of ${maxLoopIterations}`,
      );
    }
  },
);

property(
  "withinLoopLimit() keeps all keys of every tile, in order",
  [given],
  ({ sizes, work, maxLoopIterations }) => {
    const { tiles } = withinLoopLimit(work, maxLoopIterations, sizes);
    for (const own of cutsOf(work.tiles, tiles, sizes)) {
      // Nothing but what saw no key before sees none.
      assert(own.length === 1 || own.every((tile) => spanOf(tile, sizes) > 0));
    }
  },
);

property(
  "withinLoopLimit() gives no worker more than it may take, nor tiles of two",
  [given],
  ({ sizes, work, maxLoopIterations }) => {
    const { tiles, workers } = withinLoopLimit(work, maxLoopIterations, sizes);
    assertEquals(workers === undefined, work.workers === undefined);
    if (!workers || !work.workers) return;
    assertEquals([workers[0], workers.at(-1)], [0, tiles.length]);
    for (let w = 0; w + 1 < workers.length; w++) {
      const own = tiles.slice(workers[w], workers[w + 1]);
      assertGreater(own.length, 0, "a worker has nothing to do");
      const iterations = own.reduce(
        (sum, tile) => sum + tileIterations(tile, sizes),
        0,
      );
      assert(own.length === 1 || iterations < maxLoopIterations);
    }
    // Every bound between workers is still one.
    const cuts = cutsOf(work.tiles, tiles, sizes);
    let after = 0;
    const ends = [0, ...cuts.map((own) => after += own.length)];
    for (const bound of work.workers) assert(workers.includes(ends[bound]));
  },
);

property(
  "withinLoopLimit() cuts a tile as it would alone",
  [given],
  ({ sizes, work, maxLoopIterations }) => {
    const { tiles } = withinLoopLimit(work, maxLoopIterations, sizes);
    const alone = work.tiles.flatMap((tile) =>
      withinLoopLimit(
        { tiles: [tile], workers: undefined },
        maxLoopIterations,
        sizes,
      ).tiles
    );
    assertEquals(tiles, alone);
  },
);

property(
  "withinLoopLimit() leaves work as it is where nothing is too long",
  [given],
  ({ sizes, work }) => {
    for (const most of [Infinity, Number.MAX_SAFE_INTEGER]) {
      assertEquals(withinLoopLimit(work, most, sizes), work);
    }
  },
);

Deno.test("withinLoopLimit() halves a tile until it fits", () => {
  const sizes = { step: 4, fullStep: 50, maskedStep: 90, tile: 300 };
  const run = (first: number, end: number, full = true) => ({
    first,
    end,
    full,
  });
  const tile = (...runs: HeadRuns): WorkTile => ({
    rowTile: 3,
    runs,
    kvHead: undefined,
  });
  const within = (of: WorkTile, most: number) =>
    withinLoopLimit({ tiles: [of], workers: undefined }, most, sizes).tiles;
  // What a tile takes besides its steps.
  const full = stepIterations(sizes, false);
  let besides = 0;
  while (within(tile([run(0, 8)]), 2 * full + besides).length > 1) besides++;
  assertGreater(besides, 0);
  const cut = (of: WorkTile, steps: number) =>
    within(of, steps * full + besides);
  assertEquals(cut(tile([run(0, 40)]), 10), [tile([run(0, 40)])]);
  assertEquals(cut(tile([run(0, 40)]), 9), [
    tile([run(0, 20)]),
    tile([run(20, 40)]),
  ]);
  // Of an odd number of steps the second half has more.
  assertEquals(cut(tile([run(0, 28)]), 5), [
    tile([run(0, 12)]),
    tile([run(12, 28)]),
  ]);
  // Halves of the keys, whatever each head sees of them.
  assertEquals(cut(tile([run(0, 16), run(32, 36)], [run(8, 32)]), 5), [
    tile([run(0, 16)], [run(8, 16)]),
    tile([run(32, 36)], [run(16, 32)]),
  ]);
  // What sees nothing is left out, but not where nothing is seen at all.
  assertEquals(cut(tile([run(0, 20), run(200, 220)]), 5), [
    tile([run(0, 20)]),
    tile([run(200, 220)]),
  ]);
  assertEquals(cut(tile([], []), 1), [tile([], [])]);
});

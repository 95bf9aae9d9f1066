/**
 * Which tiles a plan visits for a block mask: those of its blocks, and no more.
 */

import { assertEquals } from "@std/assert";
import {
  type AttentionOptions,
  attentionProblem,
  type TensorShape,
} from "../../../../src/ops/mod.ts";
import {
  type BlockMask,
  blockMask,
  blockMaskFromPattern,
  causal,
} from "../../../../src/mods/mod.ts";
import { Prng } from "../../../../src/core/prng.ts";
import { partsFor } from "../../../support/attention/parts.ts";
import { SOFTWARE_TILES } from "../../../../src/ops/attention/variants/tiles.ts";
import { planDevice } from "../../../support/plan_device.ts";

const DEVICE = planDevice({ workgroupBytes: 32768 });

/** Row tiles of 64 packed rows, steps of 16 keys. */
const TILES = {
  ...SOFTWARE_TILES,
  forward: {
    ...SOFTWARE_TILES.forward,
    lanes: 64,
    rowsPerLane: 1,
    keys: 16,
    modKeys: 16,
  },
};

function explained(
  mask: BlockMask,
  heads: readonly [query: number, kv: number],
  more: Partial<AttentionOptions<TensorShape>> = {},
) {
  const { batch, queries, keys } = mask.grid;
  const shape = (length: number, count: number) =>
    ({ dtype: "f32", shape: [batch, length, count, 16] }) as const;
  const problem = attentionProblem({
    query: shape(queries, heads[0]),
    key: shape(keys, heads[1]),
    value: shape(keys, heads[1]),
    blockMask: mask,
    ...more,
  });
  return partsFor(problem, DEVICE, { tiles: TILES }).explanation;
}

function randomMask(
  density: number,
  { batch = 1, heads = 1, queryBlock = 64, keyBlock = 64 } = {},
): BlockMask {
  const random = new Prng(density * 100);
  return blockMaskFromPattern(() => random.uniform() < density, {
    queries: 512,
    keys: 768,
    queryBlock,
    keyBlock,
    batch,
    heads,
  });
}

Deno.test("a plan visits the tiles of its mask's blocks, all of them full", () => {
  for (const density of [0, 0.1, 0.5, 1]) {
    for (
      const [queryBlock, keyBlock] of [[64, 64], [128, 16], [64, 256]] as const
    ) {
      const mask = randomMask(density, { queryBlock, keyBlock });
      const { visited } = mask.density();
      const each = queryBlock / 64 * keyBlock / 16;
      assertEquals(explained(mask, [1, 1]).tileCounts, {
        total: 8 * 48,
        visited: visited * each,
        full: visited * each,
      });
    }
  }
});

Deno.test("each sequence and head visits its own blocks", () => {
  const mask = randomMask(0.3, { batch: 2, heads: 3 });
  const { visited } = mask.density();
  const { tileCounts } = explained(mask, [3, 3]);
  assertEquals(tileCounts.visited, 4 * visited);
  assertEquals(tileCounts.full, 4 * visited);
});

Deno.test("heads that share keys visit the blocks of any of them", () => {
  // Tiles of 64 packed rows: 32 queries of two heads.
  const mask = randomMask(0.3, { heads: 2, queryBlock: 32 });
  const plane = mask.levels.length / 2;
  let [any, all] = [0, 0];
  for (let n = 0; n < plane; n++) {
    const [a, b] = [mask.levels[n] > 0, mask.levels[plane + n] > 0];
    if (a || b) any++;
    if (a && b) all++;
  }
  const { tileCounts } = explained(mask, [2, 1]);
  assertEquals(tileCounts.visited, 4 * any);
  assertEquals(tileCounts.full, 4 * all);
});

Deno.test("a mask of kv heads is full for all query heads of each", () => {
  const mask = randomMask(0.3, { heads: 2, queryBlock: 32 });
  const { visited } = mask.density();
  const { tileCounts } = explained(mask, [4, 2]);
  assertEquals(tileCounts.visited, 4 * visited);
  assertEquals(tileCounts.full, 4 * visited);
});

Deno.test("causal and blocks together visit the blocks of both", () => {
  const mask = randomMask(0.5);
  const both = mask.and(blockMask(causal(), {
    queries: 512,
    keys: 768,
    queryBlock: 64,
  }));
  const fine = blockMask(causal(), {
    queries: 512,
    keys: 768,
    queryBlock: 64,
    keyBlock: 16,
  });
  let [visited, full] = [0, 0];
  fine.levels.forEach((level, n) => {
    const [q, k] = [Math.floor(n / 48), Math.floor((n % 48) / 4)];
    if (mask.levels[q * 12 + k] === 0 || level === 0) return;
    visited++;
    if (level === 2) full++;
  });
  const expected = { total: 8 * 48, visited, full };
  assertEquals(explained(mask, [1, 1], { causal: true }).tileCounts, expected);
  assertEquals(explained(both, [1, 1]).tileCounts, expected);
});

Deno.test("blocks that no tile is aligned with are visited where they reach", () => {
  // Rows 50..99 reach into tiles 0 and 1, keys 24..47 into steps 1 and 2.
  const mask = blockMaskFromPattern((_, q, k) => q === 1 && k === 1, {
    queries: 512,
    keys: 768,
    queryBlock: 50,
    keyBlock: 24,
  });
  assertEquals(explained(mask, [1, 1]).tileCounts, {
    total: 8 * 48,
    visited: 4,
    full: 0,
  });
});

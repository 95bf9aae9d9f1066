/**
 * Everything together on a device: whatever is shared, forked, dropped by a
 * window, taken away, swapped and found again, every query sees its own keys.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CacheManager, KvCache, KvSwap, PrefixIndex } from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { checkProperty } from "../support/property.ts";
import { ServiceWorld, type WorldCounts } from "./service_world.ts";

const NAME = "attention() sees what a service's sequences have written";
const HOST_BLOCKS = 24;

gpuTest(NAME, async (_, gpu) => {
  const total: Partial<WorldCounts> = {};
  await checkProperty(
    NAME,
    [
      fc.record({
        seed: fc.nat(),
        blockSize: fc.constantFrom(4, 8),
        blocks: fc.integer({ min: 20, max: 40 }),
        left: fc.integer({ min: 0, max: 12 }),
      }),
    ],
    async ({ seed, blockSize, blocks, left }) => {
      using cache = await KvCache.create(gpu, {
        numBlocks: blocks + 1,
        blockSize,
        kvHeads: 2,
        headDim: 8,
      });
      using swap = await KvSwap.create(cache, {
        hostBlocks: HOST_BLOCKS,
        stagingBlocks: 3,
      });
      const lefts = [undefined, left];
      const manager = new CacheManager({
        pool: cache.pool,
        index: new PrefixIndex(cache.pool),
        hostBlocks: HOST_BLOCKS,
        groups: lefts.map((one) => one === undefined ? {} : { left: one }),
      });
      const world = new ServiceWorld(manager, swap, { lefts, seed });
      for (let step = 0; step < 30; step++) await world.step();
      world.finish();
      assertEquals(manager.sequences, []);
      for (const [what, count] of Object.entries(world.counts)) {
        const key = what as keyof WorldCounts;
        total[key] = (total[key] ?? 0) + count;
      }
    },
    {
      runs: 5,
      // In which all of it happens.
      examples: [
        [{ seed: 5, blockSize: 4, blocks: 20, left: 5 }],
        [{ seed: 6, blockSize: 8, blocks: 20, left: 5 }],
        [{ seed: 9, blockSize: 4, blocks: 20, left: 5 }],
      ],
    },
  );
  for (const [what, count] of Object.entries(total)) {
    assert(count > 0, `nothing was ${what}`);
  }
});

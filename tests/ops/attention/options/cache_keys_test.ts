/**
 * What `attention()` takes for the sequences of a cache: tables, or what a
 * manager hands out.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { attention, CacheManager, KvCache } from "../../../../mod.ts";
import { gpuTest } from "../../../support/gpu.ts";
import { randomRows, uploadRows } from "../../../kv/cache_image.ts";
import { random } from "../tensors.ts";

const SIZE = { numBlocks: 20, blockSize: 2, kvHeads: 2, headDim: 8 };

gpuTest(
  "attention() reads a manager's sequences, group by group",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, SIZE);
    const manager = new CacheManager({
      pool: cache.pool,
      groups: [{}, { left: 3 }],
    });
    const sequences = [3, 6].map((count, i) => {
      const tokens = Array.from({ length: count }, (_, n) => n);
      const { sequence } = manager.create(tokens);
      const reservation = manager.reserve(sequence, tokens);
      for (const group of [0, 1]) {
        const rows = randomRows(cache, count, 10 * i + group);
        using tensors = uploadRows(gpu, cache, rows);
        cache.step([reservation], { group }).write(tensors);
      }
      manager.commit(sequence);
      return sequence;
    });
    const query = random([2, 1, 4, 8], 3);
    for (const group of [0, 1]) {
      const options = { query, cache, window: { left: 3 } };
      const { output } = await attention(gpu, { ...options, sequences, group });
      const tables = sequences.map(({ tables }) => tables[group]);
      const expected = await attention(gpu, { ...options, sequences: tables });
      assertEquals(output, expected.output);
      // One of either kind.
      const mixed = await attention(gpu, {
        ...options,
        sequences: [sequences[0], tables[1]],
        group,
      });
      assertEquals(mixed.output, expected.output);
    }
  },
);

gpuTest(
  "attention() refuses a manager's sequence that it cannot read",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, SIZE);
    using other = await KvCache.create(gpu, SIZE);
    const manager = new CacheManager({ pool: cache.pool, hostBlocks: 4 });
    const begin = () => {
      const { sequence } = manager.create([1]);
      manager.reserve(sequence, [1]);
      manager.commit(sequence);
      return sequence;
    };
    const [running, preempted, swapped] = [begin(), begin(), begin()];
    manager.preempt(preempted);
    manager.beginSwapOut([swapped]);
    const query = random([1, 1, 4, 8], 3);
    const cases: [object, typeof TypeError | typeof RangeError, string][] = [
      [{ sequences: [running], cache: other }, TypeError, "of the cache"],
      [{ sequences: [preempted] }, TypeError, "sequences[0].status must be"],
      [{ sequences: [swapped] }, TypeError, "sequences[0].status must be"],
      [{ sequences: [running], group: 1 }, RangeError, "group must be"],
      [{ sequences: [running], group: -1 }, RangeError, "group must be"],
      [{ sequences: [running], group: "0" }, TypeError, "group must be"],
    ];
    for (const [options, ErrorClass, message] of cases) {
      await assertRejects(
        () => attention(gpu, { query, cache, ...options }),
        ErrorClass,
        message,
      );
    }
  },
);

/**
 * States go to host memory and come back, elsewhere, with every bit of every
 * layer and extra, and no other state changes.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockPool, CacheManager } from "../../../src/cache/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { StateCache, StateSwap } from "../../../src/kv/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkProperty } from "../../support/property.ts";
import { anyStates, StateImage } from "./state_image.ts";

const NAME = "StateSwap changes no bit and no other state";

gpuTest(NAME, async (_, gpu) => {
  await checkProperty(
    NAME,
    [anyStates, fc.integer({ min: 1, max: 4 }), fc.nat()],
    async (options, stagingStates, seed) => {
      const prng = new Prng(seed);
      using cache = await StateCache.create(gpu, options);
      const slots = Array.from(
        { length: options.numStates - 1 },
        (_, i) => i + 1,
      );
      using swap = await StateSwap.create(cache, {
        hostStates: slots.length,
        stagingStates,
      });
      const before = StateImage.fill(gpu, cache, seed);
      const hosts = prng.shuffle(slots);
      const out = prng.shuffle(slots).slice(prng.below(slots.length))
        .map((block) => ({ block, slot: hosts.pop()! }));
      await swap.run({ direction: "out", states: outGroups(out) });
      assertEquals(swap.byteLength, out.length * swap.slotBytes);
      assertEquals(
        swap.slotBytes * options.numStates,
        cache.byteLength,
      );
      const expected = StateImage.fill(gpu, cache, seed + 1);
      const targets = prng.shuffle(slots);
      const back = prng.shuffle(out).map(({ slot, block }, i) => ({
        copy: { block: targets[i], slot },
        source: block,
      }));
      await swap.run({
        direction: "in",
        states: outGroups(back.map(({ copy }) => copy)),
      });
      for (const { copy, source } of back) {
        expected.copy(before, { source, destination: copy.block });
      }
      const after = await StateImage.read(gpu, cache);
      assertEquals(after.words, expected.words);
    },
    { runs: 12 },
  );
});

/** Copies as a transfer has them. */
function outGroups(copies: readonly { block: number; slot: number }[]) {
  return copies.map((copy) => ({ ...copy, group: 0 }));
}

gpuTest("StateSwap() carries out a manager's transfers", async (_, gpu) => {
  using cache = await StateCache.create(gpu, {
    numStates: 5,
    blockSize: 2,
    layers: 2,
    stateHeads: 1,
    headDim: 2,
    extras: { tail: [3] },
  });
  using swap = await StateSwap.create(cache, { hostStates: 3 });
  const manager = new CacheManager({
    pool: new BlockPool({ numBlocks: 2, blockSize: 2 }),
    groups: [{ kind: "state" }, { kind: "state" }],
    states: { pool: cache.pool, hostStates: 3 },
  });
  const { sequence, pending } = manager.create([1, 2, 3]);
  manager.reserve(sequence, pending);
  manager.commit(sequence);
  const [first, second] = sequence.states.map(({ slot }) => slot);
  const before = StateImage.fill(gpu, cache, 1);
  const out = manager.beginSwapOut([sequence]);
  await swap.run(out);
  manager.completeSwap(out);
  const expected = StateImage.fill(gpu, cache, 2);
  const back = manager.beginSwapIn([sequence]);
  await swap.run(back);
  manager.completeSwap(back);
  const [a, b] = sequence.states.map(({ slot }) => slot);
  assertEquals(new Set([first, second, a, b]).size, 4);
  expected.copy(before, { source: first, destination: a });
  expected.copy(before, { source: second, destination: b });
  assertEquals((await StateImage.read(gpu, cache)).words, expected.words);
  manager.verify();
});

gpuTest("StateSwap() refuses what it cannot move", async (_, gpu) => {
  const options = { numStates: 4, stateHeads: 1, headDim: 2 };
  using cache = await StateCache.create(gpu, {
    ...options,
    extras: { tail: [3] },
  });
  for (const hostStates of [0, 1.5, -1]) {
    await assertRejects(
      () => StateSwap.create(cache, { hostStates }),
      RangeError,
      "hostStates must",
    );
  }
  await assertRejects(
    () => StateSwap.create(cache, { hostStates: 1, stagingStates: 0 }),
    RangeError,
    "stagingStates must",
  );
  using swap = await StateSwap.create(cache, { hostStates: 2 });
  const copy = (block: number, slot: number) => [{ block, slot }];
  for (const direction of ["out", "in"] as const) {
    for (const bad of [copy(0, 1), copy(4, 1), copy(1, 0), copy(1, 3)]) {
      await assertRejects(() => swap[direction](bad), RangeError, "copies[0]");
    }
  }
  await assertRejects(() => swap.in(copy(1, 1)), RangeError, "moved out");
  await assertRejects(
    () => swap.run({ direction: "up" as "in", states: [] }),
    TypeError,
    "transfer.direction must",
  );
  await swap.run({ direction: "out" }); // A transfer of blocks alone.
  const signal = AbortSignal.abort(new Error("stop"));
  await assertRejects(() => swap.out(copy(1, 1), { signal }), Error, "stop");
  await swap.out(copy(1, 1));
  const again = swap.out(copy(2, 1));
  swap.destroy();
  await assertRejects(() => again, TypeError);
  await assertRejects(() => swap.in(copy(1, 1)), TypeError, "destroyed");
  cache.destroy();
  await assertRejects(
    () => StateSwap.create(cache, { hostStates: 1 }),
    TypeError,
    "state cache must not be destroyed",
  );
  assertThrows(() => cache.states(), TypeError, "destroyed");
});

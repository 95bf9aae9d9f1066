/**
 * Blocks go to host memory and come back, elsewhere, with every bit, and no
 * other block changes.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { KvCache, KvSwap } from "../../mod.ts";
import type { BlockSlot } from "../../src/kv/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { live } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";
import { checkProperty } from "../support/property.ts";
import { ALL, filled, LAYOUT } from "./filled_swap.ts";
import { paperGpu } from "../support/paper_gpu.ts";
import { layouts, RawImage } from "./raw_image.ts";

const NAME = "KvSwap changes no bit and no other block";

gpuTest(NAME, async (_, gpu) => {
  const staging = fc.integer({ min: 1, max: 6 });
  await checkProperty(
    NAME,
    [layouts(gpu), staging, fc.nat()],
    async (layout, stagingBlocks, seed) => {
      const prng = new Prng(seed);
      const blocks = Array.from(
        { length: layout.numBlocks - 1 },
        (_, i) => i + 1,
      );
      using cache = await KvCache.create(gpu, layout);
      const hostBlocks = 2 * blocks.length;
      using swap = await KvSwap.create(cache, { hostBlocks, stagingBlocks });
      assertEquals(swap.byteLength, 0);
      const before = RawImage.fill(gpu, cache, seed);
      // Two transfers at once, which share blocks but no slots.
      const slots = prng.shuffle(Array.from(
        { length: hostBlocks },
        (_, i) => i + 1,
      ));
      const outs = [0, 1].map((): BlockSlot[] =>
        prng.shuffle(blocks).slice(prng.below(blocks.length))
          .map((block) => ({ block, slot: slots.pop()! }))
      );
      await Promise.all(outs.map((copies) => swap.out(copies)));
      const kept = outs.flat();
      assertEquals(swap.byteLength, kept.length * swap.slotBytes);
      assertEquals(
        swap.slotBytes,
        layout.layers * before.block(0, 1).flatMap((part) => [...part]).length,
      );

      const expected = RawImage.fill(gpu, cache, seed + 1);
      const targets = prng.shuffle(blocks);
      const ins = prng.shuffle(kept).slice(0, targets.length)
        .map(({ slot }, i) => ({ block: targets[i], slot }));
      const half = prng.below(ins.length + 1);
      await Promise.all(
        [ins.slice(0, half), ins.slice(half)].map((copies) => swap.in(copies)),
      );
      for (const { block, slot } of ins) {
        const source = kept.find((copy) => copy.slot === slot)!.block;
        expected.copy(before, { source, destination: block });
      }
      assertEquals((await RawImage.read(gpu, cache)).arenas, expected.arenas);
    },
    { runs: 60 },
  );
});

gpuTest("KvSwap.run() goes the way of its transfer", async (_, gpu) => {
  using made = await filled(gpu, 3);
  const { cache, swap, image } = made;
  await swap.run({
    direction: "out",
    copies: [{ block: 2, slot: 7, group: 1 }],
  });
  await swap.run({
    direction: "in",
    copies: [{ block: 5, slot: 7, group: 0 }],
  });
  image.copy(image, { source: 2, destination: 5 });
  assertEquals((await RawImage.read(gpu, cache)).arenas, image.arenas);
  await assertRejects(
    () => swap.run({ direction: "up" as "in", copies: [] }),
    TypeError,
    'transfer.direction must be "out" or "in": current value is "up"',
  );
  for (const direction of ["out", "in"] as const) {
    await swap.run({ direction, copies: [] });
  }
});

gpuTest("KvSwap goes by the queue's order", async (_, gpu) => {
  using made = await filled(gpu, 8);
  const { cache, swap, image } = made;
  const copies = [{ source: 1, destination: 2, rows: 2 }];
  cache.copy(copies);
  const out = swap.out([{ block: 2, slot: 1 }]);
  RawImage.fill(gpu, cache, 2); // After it.
  await out;
  const poison = RawImage.fill(gpu, cache, 3);
  const back = swap.in([{ block: 3, slot: 1 }]);
  const onward = [{ source: 3, destination: 4, rows: 2 }];
  cache.copy(onward);
  await back;
  poison.copy(image, { source: 1, destination: 3 });
  poison.copy(image, { source: 1, destination: 4 });
  assertEquals((await RawImage.read(gpu, cache)).arenas, poison.arenas);
});

gpuTest("KvSwap comes after what steps are to copy", async (_, gpu) => {
  using made = await filled(gpu, 8);
  const { cache, swap, image } = made;
  const parent = cache.createSequence();
  parent.reserve(1);
  const source = parent.blocks[0];
  const [left, right] = [parent.fork(), parent.fork()];
  using _first = cache.reserve([{ sequence: left, count: 1 }]);
  const [copied] = left.blocks;
  await swap.out([{ block: copied, slot: 1 }, { block: 8, slot: 2 }]);
  using _second = cache.reserve([{ sequence: right, count: 1 }]);
  // The block that is to be copied is nobody's by now.
  parent.free();
  await swap.in([{ block: source, slot: 2 }, { block: 8, slot: 1 }]);
  const after = await RawImage.read(gpu, cache);
  for (let layer = 0; layer < cache.layers; layer++) {
    const row = image.block(layer, source, 1);
    for (const block of [copied, right.blocks[0], 8]) {
      assertEquals(after.block(layer, block, 1), row, `block ${block}`);
    }
    assertEquals(after.block(layer, source), image.block(layer, 8));
  }
});

gpuTest("KvSwap takes what a transfer is when it begins", async (_, gpu) => {
  using made = await filled(gpu);
  const { cache, swap, image } = made;
  const copies = ALL.slice();
  const out = swap.out(copies);
  copies.length = 1;
  copies[0] = { block: 7, slot: 7 };
  await out;
  RawImage.fill(gpu, cache, 2);
  await swap.in(ALL.slice(1));
  const back = await RawImage.read(gpu, cache);
  for (let layer = 0; layer < cache.layers; layer++) {
    for (let block = 2; block < 9; block++) {
      assertEquals(back.block(layer, block), image.block(layer, block));
    }
  }
});

gpuTest("KvSwap.create() chooses and bounds its staging", async (_, gpu) => {
  using cache = await KvCache.create(gpu, { ...LAYOUT, headDim: 3 });
  const before = live(gpu);
  using small = await KvSwap.create(cache, { hostBlocks: 5 });
  assertEquals([small.hostBlocks, small.stagingBlocks], [5, 5]);
  assertEquals(small.slotBytes, 2 * 2 * 6 * 4);
  assertEquals(live(gpu).buffers - before.buffers, 1);
  assertEquals(live(gpu).bytes - before.bytes, 5 * small.slotBytes);
  using large = await KvSwap.create(cache, { hostBlocks: 2 ** 31 - 2 });
  assertEquals(
    large.stagingBlocks,
    Math.min(
      Math.floor(2 ** 25 / small.slotBytes),
      gpu.limits.maxComputeWorkgroupsPerDimension,
    ),
  );
  large.destroy();
  large.destroy();
  small[Symbol.dispose]();
  assertEquals(live(gpu), before);
});

Deno.test("KvSwap.create() keeps its staging to what can be bound", async () => {
  const block = 2 * 4 * 1024;
  const layout = { numBlocks: 9, blockSize: 1024, kvHeads: 1, headDim: 1 };
  for (const limit of [14 * block - 4, 14 * block]) {
    const { gpu, made } = paperGpu({ limit });
    const cache = await KvCache.create(gpu, { ...layout, layers: 2 });
    const before = made();
    const most = limit < 14 * block ? 6 : 7;
    const options = { hostBlocks: 100 };
    using swap = await KvSwap.create(cache, options);
    assertEquals(swap.stagingBlocks, most);
    await assertRejects(
      () => KvSwap.create(cache, { ...options, stagingBlocks: most + 1 }),
      RangeError,
      `stagingBlocks must be an integer in 1..${most}`,
    );
    const deep = await KvCache.create(gpu, { ...layout, layers: 15 });
    const after = made();
    await assertRejects(
      () => KvSwap.create(deep, options),
      RangeError,
      "a block's bytes in all layers must be <= what the device can bind",
    );
    assertEquals(made(), after);
    swap.destroy();
    deep.destroy();
    assertEquals(made(), before);
  }
});

gpuTest("KvSwap.create() refuses what does not fit", async (_, gpu) => {
  using cache = await KvCache.create(gpu, { ...LAYOUT, headDim: 3 });
  const before = live(gpu);
  const cases: [object, typeof TypeError | typeof RangeError, string][] = [
    [{}, TypeError, "hostBlocks must be an integer"],
    [{ hostBlocks: "8" }, TypeError, "hostBlocks"],
    [{ hostBlocks: 0 }, RangeError, "hostBlocks"],
    [{ hostBlocks: 1.5 }, RangeError, "hostBlocks"],
    [{ hostBlocks: 2 ** 31 - 1 }, RangeError, "hostBlocks"],
    [{ hostBlocks: 8, stagingBlocks: 0 }, RangeError, "stagingBlocks"],
    [{ hostBlocks: 8, stagingBlocks: 2.5 }, RangeError, "stagingBlocks"],
    [{ hostBlocks: 8, stagingBlocks: 2 ** 31 }, RangeError, "stagingBlocks"],
  ];
  for (const [options, ErrorClass, message] of cases) {
    await assertRejects(
      () => KvSwap.create(cache, options as never),
      ErrorClass,
      message,
    );
  }
  assertEquals(live(gpu), before);
});

gpuTest(
  "KvSwap.create() frees what it made where it cannot go on",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...LAYOUT, headDim: 3 });
    const before = live(gpu);
    const { createBuffer, pipeline } = gpu;
    for (const name of ["createBuffer", "pipeline"] as const) {
      gpu[name] = () => {
        throw new RangeError("out of paper");
      };
      try {
        await assertRejects(
          () => KvSwap.create(cache, { hostBlocks: 8 }),
          RangeError,
          "out of paper",
        );
      } finally {
        Object.assign(gpu, { createBuffer, pipeline });
      }
      assertEquals(live(gpu), before, name);
    }
  },
);

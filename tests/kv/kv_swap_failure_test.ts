/**
 * Swaps that are refused, aborted or cut short: nothing moves that should not,
 * nothing is left behind, and all can be tried again.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { CacheManager, DeviceLostError, KvSwap } from "../../mod.ts";
import type { BlockSlot } from "../../src/kv/mod.ts";
import type { SwapTransfer } from "../../src/cache/mod.ts";
import { live } from "../ops/attention/tensors.ts";
import { gpuTest, ownGpu } from "../support/gpu.ts";
import { ALL, filled } from "./filled_swap.ts";
import { RawImage } from "./raw_image.ts";

gpuTest(
  "KvSwap refuses blocks and slots before anything moves",
  async (_, gpu) => {
    using made = await filled(gpu);
    const { cache, swap, image } = made;
    const before = live(gpu);
    const bad = (copy: object) => [{ block: 1, slot: 1 }, copy] as BlockSlot[];
    const calls: [
      () => Promise<void>,
      typeof TypeError | typeof RangeError,
      string,
    ][] = [
      [
        () => swap.out(bad({ block: 9, slot: 2 })),
        RangeError,
        "copies[1].block",
      ],
      [
        () => swap.out(bad({ block: 0, slot: 2 })),
        RangeError,
        "copies[1].block",
      ],
      [
        () => swap.out(bad({ block: 2, slot: 9 })),
        RangeError,
        "copies[1].slot",
      ],
      [() => swap.out(bad({ block: 2, slot: 1 })), TypeError, "written twice"],
      [
        () => swap.in([{ block: 1, slot: 3 }]),
        RangeError,
        "copies[0].slot must hold what was moved out: current value is 3",
      ],
      [() => swap.in(undefined as never), TypeError, "copies must be an array"],
    ];
    for (const [call, ErrorClass, message] of calls) {
      await assertRejects(call, ErrorClass, message);
    }
    assertEquals([live(gpu), swap.byteLength], [before, 0]);
    await swap.out([{ block: 1, slot: 1 }]);
    await assertRejects(
      () => swap.in([{ block: 2, slot: 1 }, { block: 2, slot: 1 }]),
      TypeError,
      "copies[1].block must not be written twice",
    );
    assertEquals((await RawImage.read(gpu, cache)).arenas, image.arenas);
  },
);

gpuTest(
  "KvSwap refuses what another transfer writes or uses",
  async (_, gpu) => {
    using made = await filled(gpu);
    const { cache, swap, image } = made;
    await swap.out(ALL.slice(4));
    const out = swap.out(ALL.slice(0, 2));
    const back = swap.in(ALL.slice(6));
    const refused: [() => Promise<void>, string][] = [
      [() => swap.out([{ block: 5, slot: 8 }]), "copies[0].slot"],
      [() => swap.in([{ block: 3, slot: 8 }]), "copies[0].slot"],
      [() => swap.in([{ block: 1, slot: 4 }]), "copies[0].block"],
      [() => swap.in([{ block: 7, slot: 4 }]), "copies[0].block"],
      [() => swap.out([{ block: 7, slot: 4 }]), "copies[0].block"],
      [() => swap.out([{ block: 3, slot: 2 }]), "copies[0].slot"],
    ];
    for (const [call, name] of refused) {
      await assertRejects(call, TypeError, `${name} must not be in another`);
    }
    await Promise.all([out, back]);
    await swap.in([{ block: 3, slot: 8 }]);
    image.copy(image, { source: 1, destination: 3 });
    assertEquals((await RawImage.read(gpu, cache)).arenas, image.arenas);
  },
);

gpuTest(
  "KvSwap.out() that is aborted leaves its slots empty",
  async (_, gpu) => {
    using made = await filled(gpu);
    const { cache, swap, image } = made;
    await swap.out(ALL);
    const reason = new Error("not now");
    await assertRejects(
      () => swap.out(ALL, { signal: AbortSignal.abort(reason) }),
      Error,
      "not now",
    );
    await swap.in(ALL.slice(0, 1)); // It never began.
    const controller = new AbortController();
    const { signal } = controller;
    const out = swap.out(ALL.slice(1), { signal });
    controller.abort(reason);
    await assertRejects(() => out, Error, "not now");
    for (const copy of ALL.slice(1)) {
      await assertRejects(() => swap.in([copy]), RangeError, "must hold");
    }
    await swap.out(ALL.slice(1));
    RawImage.fill(gpu, cache, 2);
    await swap.in(ALL);
    const back = await RawImage.read(gpu, cache);
    for (const { block } of ALL) {
      assertEquals(back.block(1, block), image.block(1, block));
    }
  },
);

gpuTest("KvSwap.in() that is aborted can run again", async (_, gpu) => {
  using made = await filled(gpu);
  const { cache, swap, image } = made;
  await swap.out(ALL);
  const poison = RawImage.fill(gpu, cache, 2);
  const controller = new AbortController();
  const back = swap.in(ALL, { signal: controller.signal });
  controller.abort(new Error("not now"));
  await assertRejects(() => back, Error, "not now");
  const late = await RawImage.read(gpu, cache);
  const written = ALL.filter(({ block }) =>
    String(late.block(0, block)) !== String(poison.block(0, block))
  );
  assertEquals(written.map(({ block }) => block), [1]);
  await swap.in(ALL);
  for (const { block } of ALL) {
    poison.copy(image, { source: block, destination: block });
  }
  assertEquals((await RawImage.read(gpu, cache)).arenas, poison.arenas);
});

gpuTest("KvSwap rejects where it or its cache is destroyed", async (_, gpu) => {
  for (const what of ["swap", "cache"] as const) {
    using made = await filled(gpu);
    const message = `${what} must not be destroyed`;
    await made.swap.out(ALL.slice(4));
    const running = [
      made.swap.out(ALL.slice(0, 4)),
      made.swap.in(ALL.slice(4)),
    ];
    made[what].destroy();
    await Promise.allSettled(running);
    for (const transfer of running) {
      await assertRejects(() => transfer, TypeError, message);
    }
    await assertRejects(() => made.swap.out(ALL), TypeError, message);
    await assertRejects(() => made.swap.in(ALL), TypeError, message);
    assertEquals(made.swap.byteLength > 0, what === "cache");
    if (what === "cache") {
      await assertRejects(
        () => KvSwap.create(made.cache, { hostBlocks: 1 }),
        TypeError,
        message,
      );
    }
  }
});

gpuTest("KvSwap rejects where its device is lost on the way", async () => {
  for (const direction of ["out", "in"] as const) {
    using gpu = await ownGpu();
    const { cache, swap } = await filled(gpu);
    const manager = new CacheManager({ pool: cache.pool, hostBlocks: 8 });
    const { sequence, pending } = manager.create([1, 2, 3, 4, 5, 6, 7]);
    manager.reserve(sequence, pending);
    const out = manager.beginSwapOut([sequence]);
    let transfer = out;
    if (direction === "in") {
      await swap.run(out);
      manager.completeSwap(out);
      transfer = manager.beginSwapIn([sequence]);
    }
    const running = swap.run(transfer);
    gpu.device.destroy();
    await assertRejects(() => running, DeviceLostError);
    await assertRejects(() => swap.run(transfer), DeviceLostError);
    await assertRejects(
      () => KvSwap.create(cache, { hostBlocks: 1 }),
      DeviceLostError,
    );
    manager.abortSwap(transfer);
    assertEquals(sequence.status, direction === "out" ? "running" : "swapped");
    manager.verify();
    swap.destroy();
    cache.destroy();
    assertEquals(live(gpu), { buffers: 0, bytes: 0 });
  }
});

gpuTest("CacheManager.abortSwap() ends what KvSwap did not", async (_, gpu) => {
  using made = await filled(gpu);
  const { cache, swap, image } = made;
  const manager = new CacheManager({ pool: cache.pool, hostBlocks: 8 });
  const { sequence, pending } = manager.create([1, 2, 3, 4, 5]);
  manager.reserve(sequence, pending);
  manager.commit(sequence);
  const before = sequence.tables[0].blocks;
  const abort = async (transfer: SwapTransfer) => {
    const controller = new AbortController();
    const { signal } = controller;
    const running = swap.run(transfer, { signal });
    controller.abort(new Error("not now"));
    await assertRejects(() => running, Error, "not now");
    manager.abortSwap(transfer);
    manager.verify();
  };

  await abort(manager.beginSwapOut([sequence]));
  assertEquals([sequence.status, manager.freeHostBlocks], ["running", 8]);
  assertEquals(sequence.tables[0].blocks, before);
  assertEquals((await RawImage.read(gpu, cache)).arenas, image.arenas);
  const out = manager.beginSwapOut([sequence]);
  await swap.run(out);
  manager.completeSwap(out);

  RawImage.fill(gpu, cache, 2);
  await abort(manager.beginSwapIn([sequence]));
  assertEquals([sequence.status, manager.freeHostBlocks], ["swapped", 5]);
  const back = manager.beginSwapIn([sequence]);
  await swap.run(back);
  manager.completeSwap(back);
  const now = await RawImage.read(gpu, cache);
  sequence.tables[0].blocks.forEach((block, i) => {
    for (let layer = 0; layer < cache.layers; layer++) {
      assertEquals(now.block(layer, block), image.block(layer, before[i]));
    }
  });
});

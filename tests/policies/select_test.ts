/** What `select` must be the same as, bit by bit, and what backward keeps of it. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  attentionBackward,
  DeviceBlockMask,
  planAttention,
  planAttentionBackward,
} from "../../src/ops/mod.ts";
import { slidingWindow, softcap } from "../../src/mods/mod.ts";
import type { AttentionPolicy } from "../../src/policies/mod.ts";
import { SMALL_BACKWARD_TILES } from "../support/backward/runner.ts";
import { TILES } from "../support/attention/runner.ts";
import { inputs, random, upload } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";
import type { Gpu, GpuTensor } from "../../mod.ts";

const SIZES = { batch: 2, queries: 40, keys: 56 };
const GEOMETRY = { queries: 40, keys: 56, queryBlock: 16, keyBlock: 8 };
const tiles = TILES.small!;

/** Scores of blocks, `[1, 1, 3, 7]`, of which half are kept, and all diagonal. */
function scoresOf(gpu: Gpu, seed: number): GpuTensor {
  const { data } = random([21], seed);
  return gpu.tensor(Float32Array.from(data), [1, 1, 3, 7]);
}

/** Selects by the next of these scores at each call. */
async function selecting(gpu: Gpu, scores: readonly GpuTensor[]) {
  const mask = await DeviceBlockMask.create(gpu, GEOMETRY, { threshold: 0 });
  const left = [...scores];
  const asked: (readonly number[])[] = [];
  const select: AttentionPolicy = {
    name: "test",
    select: () => ({
      blocks: {
        mask,
        encode(encoder, { query, key }) {
          asked.push(query.shape, key!.shape);
          mask.encode(encoder, left.shift()!);
        },
      },
    }),
  };
  return { mask, select, asked };
}

gpuTest("mods by a policy are mods, bit by bit", async (_, gpu) => {
  const options = { ...inputs(SIZES), causal: true, returnLse: true, tiles };
  const maskMods = [slidingWindow({ left: 20 })];
  const scoreMods = [softcap(1)];
  const [chosen, given] = [
    await attention(gpu, {
      ...options,
      select: { name: "test", select: () => ({ maskMods, scoreMods }) },
    }),
    await attention(gpu, {
      ...options,
      maskMod: maskMods,
      scoreMod: scoreMods,
    }),
  ];
  assertEquals(chosen, given);
});

gpuTest(
  "blocks that a policy selects are those of its mask, at each recording",
  async (_, gpu) => {
    const scores = [1, 2].map((seed) => scoresOf(gpu, seed));
    const { mask, select, asked } = await selecting(gpu, scores);
    const options = { ...inputs(SIZES), causal: true, tiles };
    using tensors = upload(gpu, options);
    using plan = await planAttention(gpu, { ...options, select });
    const outputs = [0, 1, 2].map(() => gpu.empty("f32", options.query.shape));
    using other = await DeviceBlockMask.create(gpu, GEOMETRY, { threshold: 0 });
    gpu.submit("policy", (encoder) => {
      for (const output of outputs.slice(0, 2)) {
        plan.encode(encoder, { ...tensors, output, lse: undefined });
      }
      // In its place: nothing is selected anew.
      other.encode(encoder, scores[0]);
      plan.encode(encoder, {
        ...tensors,
        output: outputs[2],
        lse: undefined,
        blockMask: other,
      });
    });
    const found = await gpu.read(outputs);
    const shapes = [options.query.shape, options.key.shape];
    assertEquals(asked, [...shapes, ...shapes]);
    for (const [i, own] of [scores[0], scores[1], scores[0]].entries()) {
      using given = await DeviceBlockMask.create(gpu, GEOMETRY, {
        threshold: 0,
      });
      gpu.submit("mask", (encoder) => given.encode(encoder, own));
      const { output } = await attention(gpu, { ...options, blockMask: given });
      assertEquals(found[i], output.data);
    }
    for (const one of [mask, ...scores, ...outputs]) one.destroy();
  },
);

gpuTest(
  "gradients are through what forward selected, whatever is selected later",
  async (_, gpu) => {
    const scores = [1, 2].map((seed) => scoresOf(gpu, seed));
    const outputGradient = random([2, 40, 4, 8], 9);
    const layers = [1, 4].map((seed) => inputs(SIZES, seed));
    const backward = (saved: Awaited<ReturnType<typeof forward>>) =>
      attentionBackward(gpu, saved, { outputGradient }, {
        tiles: SMALL_BACKWARD_TILES,
      });
    const forward = async (i: number, select: AttentionPolicy) =>
      (await attention(gpu, {
        ...layers[i],
        causal: true,
        tiles,
        select,
        forBackward: true,
      })).saved!;
    const run = async (order: "apart" | "interleaved") => {
      const { mask, select } = await selecting(gpu, scores);
      const states = [await forward(0, select)];
      const gradients = [];
      if (order === "apart") gradients.push(await backward(states[0]));
      states.push(await forward(1, select));
      gradients.push(await backward(states[1]));
      if (order === "interleaved") gradients.unshift(await backward(states[0]));
      for (const one of [mask, ...states]) one.destroy();
      return gradients;
    };
    const apart = await run("apart");
    assertEquals(await run("interleaved"), apart);
    // So of a mask of the caller's.
    const mask = await DeviceBlockMask.create(gpu, GEOMETRY, { threshold: 0 });
    gpu.submit("mask", (encoder) => mask.encode(encoder, scores[0]));
    const { saved } = await attention(gpu, {
      ...layers[0],
      causal: true,
      tiles,
      blockMask: mask,
      forBackward: true,
    });
    gpu.submit("mask", (encoder) => mask.encode(encoder, scores[1]));
    assertEquals(await backward(saved!), apart[0]);
    for (const one of [mask, saved!, ...scores]) one.destroy();
  },
);

gpuTest(
  "gradients of selected blocks are refused where those are not kept",
  async (_, gpu) => {
    const scores = [scoresOf(gpu, 1)];
    const { mask, select } = await selecting(gpu, scores);
    const options = { ...inputs(SIZES), causal: true, tiles };
    const { tiles: _tiles, ...problem } = options;
    const lse = random([2, 40, 4], 3);
    await assertRejects(
      () =>
        attentionBackward(
          gpu,
          { ...problem, select, output: options.query, lse },
          { outputGradient: options.query },
        ),
      TypeError,
      "select must not select blocks on the device (test), as later calls select anew: give what attention({ forBackward: true }) saved",
    );
    using plan = await planAttentionBackward(gpu, { ...problem, select });
    using tensors = upload(gpu, options);
    const empty = (of: { shape: readonly number[] }) =>
      gpu.empty("f32", of.shape);
    using outputGradient = empty(options.query);
    using queryGradient = empty(options.query);
    using keyGradient = empty(options.key);
    using valueGradient = empty(options.value);
    const all = {
      ...tensors,
      outputGradient,
      queryGradient,
      keyGradient,
      valueGradient,
    };
    assertThrows(
      () => gpu.submit("backward", (encoder) => plan.encode(encoder, all)),
      TypeError,
      "blockMask must be what select (test) selected for forward",
    );
    gpu.submit(
      "backward",
      (encoder) => plan.encode(encoder, { ...all, blockMask: mask }),
    );
    for (const one of [mask, ...scores]) one.destroy();
  },
);

gpuTest(
  "a copy of a block mask selects what it did, and anew",
  async (_, gpu) => {
    const scores = [1, 2].map((seed) => scoresOf(gpu, seed));
    using mask = await DeviceBlockMask.create(gpu, GEOMETRY, { threshold: 0 });
    const copies: DeviceBlockMask[] = [];
    gpu.submit("copy", (encoder) => {
      mask.encode(encoder, scores[0]);
      copies.push(mask.copy(encoder), mask.copy(encoder));
      mask.encode(encoder, scores[1]);
      copies[1].encode(encoder, scores[1]);
    });
    const [own, copy, anew] = await gpu.read(
      [mask, ...copies].map(({ bits }) => bits),
    );
    gpu.submit("mask", (encoder) => mask.encode(encoder, scores[0]));
    assertEquals(copy, await gpu.readOne(mask.bits));
    assertEquals(anew, own);
    for (const one of [...copies, ...scores]) one.destroy();
  },
);

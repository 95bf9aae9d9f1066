/**
 * Plans that once took what they could not do: each name says how.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import {
  type AttentionPlan,
  type AttentionTensors,
  type Gpu,
  type GpuTensor,
  KvCache,
  planAttention,
} from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { HEADS, inputs, live, upload } from "../ops/attention/tensors.ts";

/** `encode()` must refuse them by both names, and record nothing. */
function assertRefused(
  gpu: Gpu,
  plan: AttentionPlan,
  tensors: AttentionTensors,
  [written, other]: readonly [string, string],
): void {
  const before = live(gpu);
  const encoder = gpu.device.createCommandEncoder();
  assertThrows(
    () => plan.encode(encoder, tensors),
    TypeError,
    `${written} must not share a buffer with ${other}: current value is`,
  );
  // Nothing was recorded, so the encoder is still good.
  gpu.queue.submit([encoder.finish()]);
  assertEquals(live(gpu), before);
}

gpuTest(
  "encode() wrote the log-sum-exp over the output where both were one buffer",
  async (_, gpu) => {
    const host = inputs({ batch: 2, queries: 3, keys: 40 });
    using tensors = upload(gpu, host);
    // Bytes from one to the other, so that they may be apart from each other.
    for (const offset of [0, 1024]) {
      using both = gpu.empty("f32", [512]);
      const lse = gpu.wrap(both.buffer, "f32", tensors.lse.shape, offset);
      const output = gpu.wrap(both.buffer, "f32", tensors.output.shape);
      for (const splits of [1, 3]) {
        using plan = await planAttention(gpu, {
          ...host,
          returnLse: true,
          splits,
        });
        assertRefused(gpu, plan, { ...tensors, output, lse }, [
          "lse",
          "output",
        ]);
      }
    }
  },
);

gpuTest(
  "encode() left it to the driver that an arena was given as output",
  async (_, gpu) => {
    const { queryHeads, kvHeads, headDim } = HEADS;
    // Two arenas, each of four blocks.
    const blockBytes = 16 * kvHeads * 2 * headDim * 4;
    using cache = await KvCache.create(gpu, {
      numBlocks: 8,
      kvHeads,
      headDim,
      maxArenaBytes: 4 * blockBytes,
    });
    const arenas = cache.arenas();
    assertEquals(arenas.length, 2);
    const sequence = cache.createSequence();
    const rows = (count: number, heads: number) =>
      gpu.tensor(new Float32Array(count * heads * headDim), [
        count,
        heads,
        headDim,
      ]);
    using key = rows(5, kvHeads);
    using value = rows(5, kvHeads);
    cache.append([{ sequence, count: 5 }], { key, value });
    using query = gpu.empty("f32", [1, 2, queryHeads, headDim]);
    using output = gpu.empty("f32", query.shape);
    using lse = gpu.empty("f32", [1, 2, queryHeads]);
    using plan = await planAttention(gpu, {
      query,
      cache,
      sequences: [sequence],
      returnLse: true,
    });
    const tensors = { query, arenas, output, lse };
    arenas.forEach((arena, i) => {
      const wrap = ({ shape }: GpuTensor) =>
        gpu.wrap(arena.buffer, "f32", shape);
      const name = `arenas[${i}]`;
      assertRefused(gpu, plan, { ...tensors, output: wrap(output) }, [
        "output",
        name,
      ]);
      assertRefused(gpu, plan, { ...tensors, lse: wrap(lse) }, ["lse", name]);
    });
    gpu.submit("test", (encoder) => plan.encode(encoder, tensors));
    assertEquals(
      [...await gpu.readOne(output)],
      new Array(output.size).fill(0),
    );
  },
);

gpuTest(
  "encode() refuses every pair of what is written and what is bound",
  async (_, gpu) => {
    const host = inputs({ batch: 2, queries: 3, keys: 40 });
    using tensors = upload(gpu, host);
    using shared = gpu.empty("f32", [2000]);
    // Where keys are split, no dispatch binds both an output and a value.
    for (const splits of [1, 3]) {
      using plan = await planAttention(gpu, {
        ...host,
        returnLse: true,
        splits,
      });
      for (const written of ["output", "lse"] as const) {
        for (const other of ["query", "key", "value", "output"] as const) {
          if (written === other) continue;
          const given = { ...tensors };
          for (const name of [written, other]) {
            const { shape } = tensors[name];
            given[name] = gpu.wrap(shared.buffer, "f32", shape);
          }
          assertRefused(gpu, plan, given, [written, other]);
        }
      }
      // What is only read may be bound as often as wanted.
      const { key } = tensors;
      gpu.submit(
        "test",
        (encoder) => plan.encode(encoder, { ...tensors, value: key }),
      );
    }
  },
);

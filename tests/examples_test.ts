/**
 * The examples do what they show.
 *
 * @module
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  DecodeLoop,
  generate,
  type LoopSizes,
} from "../examples/decode_loop.ts";
import { attention, errorBound, GATES } from "../reference/mod.ts";
import { readCache } from "./kv/cache_image.ts";
import { gpuTest } from "./support/gpu.ts";
import { objectsMadeBy } from "./support/gpu_objects.ts";

const SIZES: LoopSizes = {
  layers: 4,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxTokens: 24,
  numBlocks: 24,
};
const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8];

gpuTest("DecodeLoop generates forks as if each were alone", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const steps: (readonly Float32Array[])[] = [];
  const blocks: number[] = [];
  const together = await generate(loop, {
    prompt: PROMPT,
    forks: 3,
    count: 5,
    onStep: (rows) => {
      steps.push(rows);
      blocks.push(loop.cache.pool.usedBlocks);
    },
  });
  // The first block is shared by all; the last one, written, by none.
  assertEquals(blocks, [2, 4, 4, 4, 4]);
  assertEquals(loop.cache.pool.usedBlocks, 0);
  const [, one, other] = steps.at(-1)!;
  assertNotEquals(one, other);

  for (const [fork, tokens] of together.entries()) {
    const sequence = loop.cache.createSequence();
    for (const [i, rows] of steps.entries()) {
      const next = i === 0 ? PROMPT : [tokens[i - 1]];
      const [row] = await loop.step([{ sequence, tokens: next }]);
      assertEquals(row, rows.length === 1 ? rows[0] : rows[fork]);
    }
    sequence.free();
  }
});

gpuTest("DecodeLoop's last attention is the oracle's", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const { queryHeads, kvHeads, headDim } = SIZES;
  const first = loop.cache.createSequence();
  await loop.step([{ sequence: first, tokens: PROMPT }]);
  const sequences = [first, first.fork()];
  await loop.step(sequences.map((sequence, i) => ({ sequence, tokens: [i] })));

  const rows = (buffer: GPUBuffer) =>
    loop.gpu.wrap(buffer, "f32", [2, queryHeads, headDim]);
  const [queries, outputs] = await loop.gpu.read([
    rows(loop.own.query),
    rows(loop.own.attended),
  ]);
  const image = (await readCache(loop.gpu, loop.cache)).at(-1)!;
  for (const [i, sequence] of sequences.entries()) {
    const slots = Array.from(
      { length: sequence.length },
      (_, position) => image.slot(sequence.slot(position)),
    );
    const width = queryHeads * headDim;
    const problem = {
      query: queries.slice(i * width, (i + 1) * width),
      key: slots.flatMap((slot) => slot.slice(0, kvHeads * headDim)),
      value: slots.flatMap((slot) => slot.slice(kvHeads * headDim)),
      batch: 1,
      queryLength: 1,
      keyLength: slots.length,
      queryHeads,
      kvHeads,
      headDim,
    };
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl });
    attention(problem).output.forEach((expected, j) =>
      assert(Math.abs(outputs[i * width + j] - expected) <= bound.output)
    );
  }
});

gpuTest("DecodeLoop makes no GPU object in a step", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const first = loop.cache.createSequence();
  await loop.step([{ sequence: first, tokens: PROMPT }]);
  const sequences = [first, first.fork(), first.fork()];
  const step = () =>
    loop.step(sequences.map((sequence, i) => ({ sequence, tokens: [i] })));
  for (let i = 0; i < 3; i++) await step();
  for (let i = 0; i < 12; i++) {
    const made = await objectsMadeBy(gpu, step);
    assertEquals(
      made,
      { buffers: 0, destroyed: 0, bindGroups: 0 },
      `step ${i}`,
    );
  }
  assertEquals(sequences.map(({ length }) => length), [34, 34, 34]);
});

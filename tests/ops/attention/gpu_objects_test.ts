/**
 * A step that fits what was allocated before allocates nothing: no buffer and
 * no bind group, however many layers it has.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  attention,
  type AttentionOptions,
  type AttentionPlan,
  attentionProblem,
  type BlockTable,
  type Gpu,
  type GpuTensor,
  KvCache,
  planAttention,
  type PlanChoices,
  type TensorShape,
} from "../../../mod.ts";
import type { HostArray } from "../../../src/gpu/mod.ts";
import type { TileOptions } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { HEADS, inputs, upload } from "./tensors.ts";

/** Options of three tensors, of which only the shapes are there. */
type ShapeOptions = Omit<AttentionOptions<TensorShape>, "qkv">;

const NONE = { buffers: 0, destroyed: 0, bindGroups: 0 };
const LAYERS = 32;
const BATCH = 2;
const CAPACITY = 400;

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });

/** What a layer of keys and values of its own reads and writes. */
type Layer = Readonly<Record<"query" | "key" | "value" | "output", GpuTensor>>;

/** Tensors of all layers. */
function layersOf(
  gpu: Gpu,
  queries: number,
): { readonly all: readonly Layer[] } & Disposable {
  const host = inputs({ batch: BATCH, queries, keys: CAPACITY });
  const made = Array.from({ length: LAYERS }, () => upload(gpu, host));
  return {
    all: made.map(({ query, key, value, output }) => ({
      query,
      key,
      value,
      output,
    })),
    [Symbol.dispose]: () => made.forEach((layer) => layer[Symbol.dispose]()),
  };
}

/** Decode of one query each, over so many of the keys. */
function decodeOf(
  keyLengths: readonly number[],
): ShapeOptions {
  const { queryHeads, kvHeads, headDim } = HEADS;
  return {
    query: f32(BATCH, 1, queryHeads, headDim),
    key: f32(BATCH, CAPACITY, kvHeads, headDim),
    value: f32(BATCH, CAPACITY, kvHeads, headDim),
    keyLengths,
    causal: true,
  };
}

/** An update, and all layers in one submit. */
async function step(
  gpu: Gpu,
  plan: AttentionPlan,
  options: ShapeOptions,
  layers: readonly Layer[],
): Promise<void> {
  await plan.update(attentionProblem(options));
  gpu.submit("step", (encoder) => {
    for (const tensors of layers) plan.encode(encoder, tensors);
  });
}

/** The output of the last layer, which must be that of `attention()`. */
async function assertRight(
  gpu: Gpu,
  layers: readonly Layer[],
  options: ShapeOptions,
  choices: PlanChoices,
): Promise<void> {
  const { query, key, value, output } = layers.at(-1)!;
  const { output: expected } = await attention(gpu, {
    ...options,
    ...choices,
    query,
    key,
    value,
  });
  const [actual, wanted] = await gpu.read([output, expected]);
  expected.destroy();
  assertEquals(actual, wanted);
}

/** Small, so that they compile fast. */
const TILES: TileOptions = {
  forward: { lanes: 8, rowsPerLane: 2, keys: 8 },
  decode: { lanes: 8, keysPerLane: 8 },
  partition: { splitKeys: 64 },
};

const CHOICES: readonly PlanChoices[] = [
  { splits: 3, tiles: TILES },
  { splits: "stream-k", workers: 5, tiles: TILES },
  { splits: "fixed", tiles: TILES },
];

for (const choices of CHOICES) {
  gpuTest(
    `a decode step of ${LAYERS} layers makes nothing while its context grows, splits ${choices.splits}`,
    async (_, gpu) => {
      using layers = layersOf(gpu, 1);
      // The longest first, so that all that follow fit.
      const longest = decodeOf([CAPACITY, CAPACITY - 9]);
      using plan = await planAttention(gpu, { ...longest, ...choices });
      assertEquals(plan.explain().dispatches.length, 2);
      const first = await objectsMadeBy(
        gpu,
        () => step(gpu, plan, longest, layers.all),
      );
      // One of the kernel's and one of the merge's for each layer.
      assertEquals(first.bindGroups, 2 * LAYERS);
      for (const keys of [200, 201, 256, 257, 320, 321, CAPACITY]) {
        const options = decodeOf([keys, keys - 70]);
        assertEquals(
          await objectsMadeBy(
            gpu,
            () => step(gpu, plan, options, layers.all),
          ),
          NONE,
          `${keys} keys`,
        );
        assertEquals(plan.explain().dispatches.length, 2);
      }
      await assertRight(
        gpu,
        layers.all,
        decodeOf([CAPACITY, CAPACITY - 70]),
        choices,
      );
    },
  );
}

gpuTest(
  "a plan makes something in few of the steps in which its context grows",
  async (_, gpu) => {
    using layers = layersOf(gpu, 1);
    using plan = await planAttention(gpu, {
      ...decodeOf([1, 1]),
      tiles: TILES,
    });
    const some = layers.all.slice(0, 2);
    let busy = 0;
    for (let keys = 1; keys <= CAPACITY; keys += 3) {
      const { buffers, bindGroups } = await objectsMadeBy(
        gpu,
        () => step(gpu, plan, decodeOf([keys, keys]), some),
      );
      if (buffers + bindGroups > 0) busy++;
      assert(buffers <= 2, `${buffers} buffers at ${keys} keys`);
    }
    assertGreater(busy, 0);
    // Each time a power of two of words, or a quarter of one of states, is full.
    assert(busy <= 20, `${busy} steps made something`);
  },
);

gpuTest(
  "a plan makes nothing for prefills that shrink to sizes that it has seen",
  async (_, gpu) => {
    const { queryHeads, kvHeads, headDim } = HEADS;
    const sizes = [40, 23, 9, 1];
    const prefill = (queries: number): ShapeOptions => ({
      query: f32(BATCH, queries, queryHeads, headDim),
      key: f32(BATCH, CAPACITY, kvHeads, headDim),
      value: f32(BATCH, CAPACITY, kvHeads, headDim),
      keyLengths: [CAPACITY, queries],
      causal: true,
    });
    using layers = layersOf(gpu, sizes[0]);
    // The same buffers for all sizes: those of a smaller one are their start.
    const layersAt = (queries: number) =>
      layers.all.map(({ query, key, value, output }) => {
        const start = ({ buffer }: GpuTensor) =>
          gpu.wrap(buffer, "f32", [BATCH, queries, queryHeads, headDim]);
        return { query: start(query), key, value, output: start(output) };
      });
    using plan = await planAttention(gpu, {
      ...prefill(sizes[0]),
      splits: 1,
      tiles: TILES,
    });
    for (const [i, queries] of [...sizes, ...sizes, 9, 40].entries()) {
      const options = prefill(queries);
      const made = await objectsMadeBy(
        gpu,
        () => step(gpu, plan, options, layersAt(queries)),
      );
      // Each size is bound by itself the first time, to the same buffers.
      assertEquals(made, {
        ...NONE,
        bindGroups: i < sizes.length ? LAYERS : 0,
      }, `${queries} queries`);
    }
  },
);

gpuTest(
  "a decode step over a cache makes nothing: reserve, write, attend, commit",
  async (_, gpu) => {
    const { queryHeads, kvHeads, headDim } = HEADS;
    using cache = await KvCache.create(gpu, {
      numBlocks: 2 * BATCH * CAPACITY / 16,
      layers: LAYERS,
      kvHeads,
      headDim,
    });
    const sequences = Array.from(
      { length: BATCH },
      () => cache.createSequence(),
    );
    const tensors = (rows: number, heads: number) => {
      const tensor = gpu.empty("f32", [rows, heads, headDim]);
      made.push(tensor);
      return tensor;
    };
    const made: GpuTensor[] = [];
    const options = (queries: number): ShapeOptions => ({
      cache,
      sequences,
      query: f32(BATCH, queries, queryHeads, headDim),
      causal: true,
    });
    const forward = async (
      plan: AttentionPlan | undefined,
      count: number,
      rows: Layer,
    ) => {
      const { key, value, query, output } = rows;
      using added = cache.reserve(
        sequences.map((sequence) => ({ sequence, count })),
      );
      await plan?.update(attentionProblem(options(count)));
      gpu.submit("step", (encoder) => {
        for (let layer = 0; layer < LAYERS; layer++) {
          added.encode(encoder, { layer, key, value });
          const arenas = cache.arenas(layer);
          plan?.encode(encoder, { query, arenas, output });
        }
      });
      added.commit();
    };
    const rowsOf = (count: number) => ({
      query: tensors(BATCH * count, queryHeads),
      key: tensors(BATCH * count, kvHeads),
      value: tensors(BATCH * count, kvHeads),
      output: tensors(BATCH * count, queryHeads),
    });
    await forward(undefined, 300, rowsOf(300));
    using plan = await planAttention(gpu, {
      ...options(1),
      splits: 3,
      tiles: TILES,
    });
    const one = rowsOf(1);
    await forward(plan, 1, one);
    const kinds = new Set<string>();
    // Past the end of two blocks.
    for (let i = 0; i < 20; i++) {
      const objects = await objectsMadeBy(gpu, () => forward(plan, 1, one));
      kinds.add(JSON.stringify(objects));
    }
    assertEquals([...kinds], [JSON.stringify(NONE)]);
    assertEquals(sequences.map(({ committed }: BlockTable) => committed), [
      321,
      321,
    ]);
    for (const tensor of made) tensor.destroy();
  },
);

gpuTest(
  "what an AttentionPlan recorded before an update keeps its results",
  async (_, gpu) => {
    using layers = layersOf(gpu, 1);
    const lengths = [[CAPACITY, 3], [5, 100], [1, CAPACITY], [77, 78]];
    const choices = { splits: 3, tiles: TILES };
    using plan = await planAttention(gpu, { ...decodeOf([1, 1]), ...choices });
    const expected: HostArray[] = [];
    for (const [i, keyLengths] of lengths.entries()) {
      const { query, key, value } = layers.all[i];
      const { output } = await attention(gpu, {
        ...decodeOf(keyLengths),
        query,
        key,
        value,
        ...choices,
      });
      expected.push(await gpu.readOne(output));
      output.destroy();
    }
    // Each layer as the plan is when it is recorded, and all run at the end.
    for (const kind of ["a submit", "an encoder"]) {
      const encoder = gpu.device.createCommandEncoder();
      for (const [i, keyLengths] of lengths.entries()) {
        await plan.update(attentionProblem(decodeOf(keyLengths)));
        plan.encode(encoder, layers.all[i]);
      }
      await plan.update(attentionProblem(decodeOf([2, 2])));
      if (kind === "a submit") gpu.submit(encoder);
      else gpu.queue.submit([encoder.finish()]);
      const outputs = layers.all.map(({ output }) => output);
      const read = await gpu.read(outputs.slice(0, lengths.length));
      assertEquals(read, expected, kind);
      for (const output of outputs) output.write(new Float32Array(output.size));
    }
  },
);

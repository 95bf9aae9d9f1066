/**
 * Rows from the host and back to it: what is appended is read, in the order of
 * its tokens, whatever blocks and arenas it lies in.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  CacheManager,
  ContiguousCache,
  type HostTensor,
  KvCache,
  type KvCacheOptions,
} from "../../mod.ts";
import type { KvArenas } from "../../src/kv/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { live } from "../ops/attention/tensors.ts";
import { randomRows, type Rows } from "./cache_image.ts";

interface Layout extends KvCacheOptions {
  readonly blockSize: number;
}

const PLAIN: Layout = {
  numBlocks: 14,
  blockSize: 4,
  layers: 2,
  kvHeads: 2,
  headDim: 8,
};
const ODD: Layout = {
  ...PLAIN,
  kvHeads: 1,
  blockSize: 3,
  headDim: 5,
  valueHeadDim: 3,
};

/** A layout whose arenas hold `blocks` blocks each. */
function split(layout: Layout, blocks: number): Layout {
  const { blockSize, kvHeads, headDim, valueHeadDim = headDim } = layout;
  const bytes = layout.dtype === "f16" ? 2 : 4;
  const row = kvHeads * (headDim + valueHeadDim) * bytes;
  return { ...layout, maxArenaBytes: blocks * blockSize * row };
}

const LAYOUTS: readonly (readonly [string, Layout])[] = [
  ["one arena", PLAIN],
  ["four arenas", split(PLAIN, 4)],
  ["odd head dims in seven arenas", split(ODD, 2)],
];
const HALF = LAYOUTS.map(([name, layout]): [string, Layout] => [
  `${name}, f16`,
  {
    ...layout,
    dtype: "f16",
    ...(layout.maxArenaBytes && { maxArenaBytes: layout.maxArenaBytes / 2 }),
  },
]);

/** New rows on the host, of all layers. */
function hostRows(cache: KvArenas, tokens: number, seed: number) {
  const shape = (width: number) => [tokens, cache.kvHeads, width];
  return Array.from({ length: cache.layers }, (_, layer) => {
    const { key, value } = randomRows(cache, tokens, 100 * seed + layer);
    return {
      key: { data: key, shape: shape(cache.headDim) } as HostTensor,
      value: { data: value, shape: shape(cache.valueHeadDim) } as HostTensor,
    };
  });
}

/** The rows of some tokens among others, by their numbers. */
function pick(
  { data, shape }: HostTensor,
  tokens: readonly number[],
): number[] {
  const width = shape[1] * shape[2];
  return tokens.flatMap((token) => [
    ...data.subarray(token * width, (token + 1) * width),
  ]);
}

const range = (from: number, end: number) =>
  Array.from({ length: end - from }, (_, i) => from + i);

async function assertRows(
  cache: KvArenas,
  sequence: Parameters<KvArenas["read"]>[0],
  expected: (layer: number, part: "key" | "value") => number[],
): Promise<void> {
  for (let layer = 0; layer < cache.layers; layer++) {
    const rows = await cache.read(sequence, { layer });
    for (const part of ["key", "value"] as const) {
      const { data, shape } = rows[part];
      assertEquals([...data], expected(layer, part), `${part} of ${layer}`);
      const width = part === "key" ? cache.headDim : cache.valueHeadDim;
      assertEquals(shape.slice(1), [cache.kvHeads, width]);
      assertEquals(shape[0] * shape[1] * shape[2], data.length);
      assertEquals((data as Rows).constructor.name, `${name(cache)}Array`);
    }
  }
}

function name(cache: KvArenas): string {
  return cache.dtype === "f16" ? "Float16" : "Float32";
}

for (const [layouts, features] of [[LAYOUTS, []], [HALF, ["shader-f16"]]]) {
  gpuTest(
    `KvCache.read() gives what append() took from the host ${features}`,
    async (t, gpu) => {
      for (const [what, layout] of layouts as typeof LAYOUTS) {
        await t.step(what, async () => {
          using cache = await KvCache.create(gpu, layout);
          await readsWhatWasAppended(cache);
        });
      }
    },
    { features: features as string[] },
  );
}

async function readsWhatWasAppended(cache: KvCache): Promise<void> {
  const [a, b] = [cache.createSequence(), cache.createSequence()];
  // Two turns, so that the blocks of both take turns, too.
  const first = hostRows(cache, 12, 1);
  cache.append([{ sequence: a, count: 7 }, { sequence: b, count: 5 }], {
    layers: first,
  });
  const second = hostRows(cache, 9, 2);
  cache.append([{ sequence: a, count: 4 }, { sequence: b, count: 5 }], {
    layers: second,
  });
  const fork = a.fork();
  const third = hostRows(cache, 1, 3);
  cache.append([{ sequence: fork, count: 1 }], { layers: third });
  await assertRows(cache, a, (layer, part) => [
    ...pick(first[layer][part], range(0, 7)),
    ...pick(second[layer][part], range(0, 4)),
  ]);
  await assertRows(cache, b, (layer, part) => [
    ...pick(first[layer][part], range(7, 12)),
    ...pick(second[layer][part], range(4, 9)),
  ]);
  await assertRows(cache, fork, (layer, part) => [
    ...pick(first[layer][part], range(0, 7)),
    ...pick(second[layer][part], range(0, 4)),
    ...pick(third[layer][part], [0]),
  ]);
}

gpuTest(
  "KvCache.read() leaves out what is not committed, or dropped",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, split(PLAIN, 4));
    const sequence = cache.createSequence();
    const empty = await cache.read(sequence);
    assertEquals(empty.key.shape, [0, 2, 8]);
    const rows = hostRows(cache, 10, 1);
    cache.append([{ sequence, count: 10 }], { layers: rows });
    using _step = cache.reserve([{ sequence, count: 3 }]);
    sequence.dropBefore(9);
    const { start, key, value } = await cache.read(sequence, { layer: 1 });
    assertEquals(start, 8);
    assertEquals([...key.data], pick(rows[1].key, [8, 9]));
    assertEquals([...value.data], pick(rows[1].value, [8, 9]));
  },
);

gpuTest("KvCache.read() takes a manager's sequences", async (_, gpu) => {
  using cache = await KvCache.create(gpu, PLAIN);
  const manager = new CacheManager({ pool: cache.pool, groups: [{}, {}] });
  const { sequence, pending } = manager.create([1, 2, 3, 4, 5]);
  const reservation = manager.reserve(sequence, pending);
  const groups = [hostRows(cache, 5, 1), hostRows(cache, 5, 2)];
  groups.forEach((rows, group) => {
    const step = cache.step([reservation], { group });
    rows.forEach((own, layer) => step.write({ layer, ...own }));
  });
  manager.commit(sequence);
  for (const [group, rows] of groups.entries()) {
    const { key } = await cache.read(sequence, { group, layer: 1 });
    assertEquals([...key.data], pick(rows[1].key, range(0, 5)));
  }
  manager.free(sequence);
  await assertRejects(() => cache.read(sequence), TypeError);
});

gpuTest("read() comes after the copies of what is reserved", async (_, gpu) => {
  using cache = await KvCache.create(gpu, PLAIN);
  const sequence = cache.createSequence();
  const rows = hostRows(cache, 6, 1);
  cache.append([{ sequence, count: 6 }], { layers: rows });
  const fork = sequence.fork();
  // The last block is shared: the fork gets a copy with the first write.
  using step = cache.reserve([{ sequence: fork, count: 1 }]);
  assertEquals(step.copies, 1);
  await assertRows(
    cache,
    fork,
    (layer, part) => pick(rows[layer][part], range(0, 6)),
  );
});

gpuTest("ContiguousCache.read() follows what has moved", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, ODD);
  const [a, b] = [cache.createSequence(), cache.createSequence()];
  const first = hostRows(cache, 7, 1);
  cache.append([{ sequence: a, count: 4 }, { sequence: b, count: 3 }], {
    layers: first,
  });
  const second = hostRows(cache, 8, 2);
  cache.append([{ sequence: a, count: 8 }], { layers: second });
  await assertRows(cache, a, (layer, part) => [
    ...pick(first[layer][part], range(0, 4)),
    ...pick(second[layer][part], range(0, 8)),
  ]);
  await assertRows(
    cache,
    b,
    (layer, part) => pick(first[layer][part], range(4, 7)),
  );
});

gpuTest(
  "KvCache.append() takes bf16, and narrows it by asking",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, {
      numBlocks: 3,
      kvHeads: 1,
      headDim: 2,
    });
    const sequence = cache.createSequence();
    // 1, -2.5, 0.15625, -0
    const data = Uint16Array.from([0x3f80, 0xc020, 0x3e20, 0x8000]);
    const rows = { data, shape: [2, 1, 2], dtype: "bf16" } as const;
    cache.append([{ sequence, count: 2 }], { key: rows, value: rows });
    const { key } = await cache.read(sequence);
    assertEquals([...key.data], [1, -2.5, 0.15625, -0]);
    const narrow = { ...rows, as: "f16" } as const;
    assertThrows(
      () =>
        cache.append([{ sequence, count: 2 }], { key: narrow, value: narrow }),
      TypeError,
      "key.dtype must be f32",
    );
    assertEquals(sequence.length, 2);
  },
);

gpuTest(
  "rows from the host are refused before anything changes",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...PLAIN, layers: 1 });
    const sequence = cache.createSequence();
    const before = live(gpu);
    const [{ key, value }] = hostRows(cache, 3, 1);
    const append = (rows: { key: unknown; value: unknown }) =>
      cache.append([{ sequence, count: 3 }], rows as never);
    for (
      const [rows, message] of [
        [{ key: 1, value }, "key must be a tensor of the cache's Gpu or {"],
        [
          { key, value: { data: value.data, shape: [3, 2] } },
          "value.data.length",
        ],
        [{ key, value: { data: [1], shape: [1] } }, "value.data must be"],
        [
          { key, value: { data: new Float32Array(16), shape: [1, 2, 8] } },
          "value.data.length must be 48, for the tokens",
        ],
        [
          { key, value: { data: new Uint16Array(48), shape: [3, 2, 8] } },
          'value.dtype must be "bf16" or "f16"',
        ],
      ] as const
    ) {
      assertThrows(() => append(rows), TypeError, message);
    }
    using step = cache.reserve([{ sequence, count: 3 }]);
    const encoder = gpu.device.createCommandEncoder();
    assertThrows(
      () => step.encode(encoder, { key, value }),
      TypeError,
      "key must be a GpuTensor, as only write() and append() upload",
    );
    assertEquals(live(gpu).buffers, before.buffers);
    assertEquals(sequence.committed, 0);
  },
);

gpuTest("KvCache.read() refuses what is not there", async (_, gpu) => {
  using cache = await KvCache.create(gpu, PLAIN);
  using other = await KvCache.create(gpu, PLAIN);
  const read = (sequence: unknown, options = {}) =>
    cache.read(sequence as never, options);
  const own = cache.createSequence();
  const before = live(gpu).buffers;
  await assertRejects(
    () => read(other.createSequence()),
    TypeError,
    "sequence must be a sequence of the cache",
  );
  await assertRejects(() => read(undefined), TypeError, "sequence must be");
  await assertRejects(() => read(own, { layer: 2 }), RangeError, "layer");
  const signal = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => read(own, { signal }), Error, "enough");
  own.free();
  await assertRejects(() => read(own), TypeError);
  assertEquals(live(gpu).buffers, before);
});

/** A context's clusters: the whole fit, its growth, and what it refuses. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  directionsOf,
  kmeans,
  squaredDistance,
} from "../../../reference/policies/kmeans.ts";
import { Prng } from "../../../src/core/prng.ts";
import { CacheManager } from "../../../src/cache/mod.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import { ContiguousCache, KvCache } from "../../../src/kv/mod.ts";
import {
  clusterSizes,
  SqueezedContext,
  type SqueezedContextOptions,
} from "../../../src/policies/mod.ts";
import { fitClusters } from "../../../src/policies/squeezed/fit/levels.ts";
import { keyPlaces } from "../../../src/policies/squeezed/fit/key_places.ts";
import { gpuTest } from "../../support/gpu.ts";
import { SEED } from "../../support/property.ts";
import {
  checkNearest,
  headRows,
  plantedKeys,
  rowsOf,
} from "../../support/squeezed.ts";

const HEADS = 2;
const DIM = 8;
const PLANTED = { heads: HEADS, headDim: DIM, directions: 6, spread: 0.15 };

function tensor(data: Float32Array, headDim = DIM) {
  return { data, shape: [data.length / HEADS / headDim, HEADS, headDim] };
}

/** All that a context is, read at once, by name. */
async function read(gpu: Gpu, context: SqueezedContext) {
  const { centroids, counts, labels, coarse } = context;
  const tensors: Record<string, GpuTensor> = {
    centroids,
    counts,
    labels,
    ...(coarse && {
      coarseCentroids: coarse.centroids,
      coarseCounts: coarse.counts,
      coarseLabels: coarse.labels,
    }),
  };
  const arrays = await gpu.read(Object.values(tensors));
  return Object.fromEntries(
    Object.keys(tensors).map((name, i) => [name, [...arrays[i]]]),
  );
}

async function fitted(gpu: Gpu, options: SqueezedContextOptions) {
  using context = await SqueezedContext.create(gpu, options);
  return await read(gpu, context);
}

/** The numbers that a context draws its seeds by: those of keys, head by head. */
function draws(seed: number, counts: readonly number[]): number[][][] {
  const random = new Prng(seed);
  return counts.map((count) =>
    Array.from(
      { length: HEADS },
      () => Array.from({ length: count }, () => (random.u32() >>> 8) / 2 ** 24),
    )
  );
}

function assertClose(
  found: readonly number[],
  expected: readonly number[],
  most: number,
  name: string,
): void {
  assertEquals(found.length, expected.length, name);
  found.forEach((x, i) =>
    assert(
      Math.abs(x - expected[i]) <= most,
      `${name}[${i}]: ${x}, not ${expected[i]}`,
    )
  );
}

gpuTest(
  "a context is what k-means in float64 makes of its keys",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 90, seed: 1 });
    const seed = 5;
    using context = await SqueezedContext.create(gpu, {
      key: tensor(data),
      clusters: 6,
      levels: 2,
      coarseClusters: 3,
      observationWindow: 10,
      seed,
    });
    assertEquals(
      [context.keys, context.length, context.converged],
      [80, 90, true],
    );
    const sizes = clusterSizes(gpu, context);
    assertEquals([sizes.kvHeads, sizes.headDim], [HEADS, DIM]);
    assertEquals([sizes.keys, sizes.clusters, sizes.coarse], [80, 6, 3]);
    const found = await read(gpu, context);
    const drawn = draws(seed, [6, 3]);
    for (let head = 0; head < HEADS; head++) {
      const rows = headRows(data.subarray(0, 80 * HEADS * DIM), {
        heads: HEADS,
        headDim: DIM,
        head,
      });
      const fine = kmeans({
        rows,
        headDim: DIM,
        clusters: 6,
        draws: drawn[0][head],
        iterations: 300,
      });
      const coarse = kmeans({
        rows: fine.centroids.flatMap((row) => [...row]),
        headDim: DIM,
        clusters: 3,
        draws: drawn[1][head],
        iterations: 300,
        weights: fine.counts,
      });
      const own = (name: string, each: number) =>
        found[name].slice(head * each, (head + 1) * each);
      assertEquals(own("labels", 80), fine.labels);
      assertEquals(own("counts", 6), fine.counts);
      assertEquals(own("coarseLabels", 6), coarse.labels);
      assertEquals(own("coarseCounts", 3), coarse.counts);
      const flat = (all: readonly Float64Array[]) => all.flatMap((r) => [...r]);
      assertClose(own("centroids", 6 * DIM), flat(fine.centroids), 2e-5, "C");
      assertClose(
        own("coarseCentroids", 3 * DIM),
        flat(coarse.centroids),
        2e-5,
        "coarse C",
      );
    }
  },
);

gpuTest(
  "the same keys and seed give the same bits, however many heads at a time",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 70, spread: 1, seed: 2 });
    const places = keyPlaces(gpu, { key: tensor(data) }, "a test");
    const drawn = (count: number) =>
      Float32Array.from(draws(0, [count])[0].flat());
    const sizes = {
      members: 70,
      clusters: 9,
      coarse: 3,
      iterations: 50,
      draws: { fine: drawn(9), coarse: drawn(3) },
    };
    const results: number[][][] = [];
    for (const together of [1, 2, 2]) {
      const { fine, coarse } = await fitClusters(gpu, places, {
        ...sizes,
        together,
      });
      const tensors = [
        fine.labels,
        fine.centroids,
        fine.counts,
        fine.directions.centroids,
        fine.directions.halves,
        coarse!.labels,
        coarse!.centroids,
        coarse!.counts,
      ];
      results.push((await gpu.read(tensors)).map((array) => [...array]));
      for (const one of tensors) one.destroy();
    }
    places.destroy();
    assertEquals(results[1], results[0]);
    assertEquals(results[2], results[0]);
  },
);

gpuTest(
  "inertia falls with every iteration, and rows are at their nearest",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 100, spread: 1.2, seed: 3 });
    const places = keyPlaces(gpu, { key: tensor(data) }, "a test");
    const sizes = { members: 100, clusters: 12, coarse: 0 };
    const inertia: number[] = [];
    let rested = 0;
    for (let iterations = 1; iterations <= 24; iterations++) {
      const { fine, converged } = await fitClusters(gpu, places, {
        ...sizes,
        iterations,
        draws: {
          fine: Float32Array.from(draws(4, [12])[0].flat()),
          coarse: new Float32Array(0),
        },
      });
      const { labels, centroids, counts, directions } = fine;
      const [own, centres] = await gpu.read([labels, directions.centroids]);
      for (const one of [labels, centroids, counts]) one.destroy();
      directions.centroids.destroy();
      directions.halves.destroy();
      let sum = 0;
      for (let head = 0; head < HEADS; head++) {
        const units = directionsOf(
          headRows(data, { heads: HEADS, headDim: DIM, head }),
          DIM,
        );
        const at = head * 12 * DIM;
        const means = rowsOf(centres.slice(at, at + 12 * DIM), DIM);
        const mine = own.slice(head * 100, (head + 1) * 100);
        checkNearest(units, means, {
          labels: mine,
          live: () => true,
          at: `head ${head}`,
        });
        units.forEach((unit, i) =>
          sum += squaredDistance(unit, means[mine[i]])
        );
      }
      inertia.push(sum);
      rested += converged ? 1 : 0;
    }
    places.destroy();
    inertia.slice(1).forEach((sum, i) =>
      assert(sum <= inertia[i] * (1 + 1e-6), `${inertia[i]}, then ${sum}`)
    );
    // It fell at all, came to rest, and stayed there.
    assert(inertia[0] > inertia[23] * 1.05, inertia.join(" "));
    assert(rested > 0 && rested < 24, `${rested} of 24 at rest`);
    assertEquals(new Set(inertia.slice(24 - rested)).size, 1);
  },
);

gpuTest(
  "of as many clusters as keys each has one; duplicates leave some empty",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 20, spread: 1, seed: 6 });
    const single = await fitted(gpu, {
      key: tensor(data),
      clusters: 20,
      observationWindow: 0,
    });
    assertEquals(single.counts, new Array(2 * 20).fill(1));
    for (let head = 0; head < HEADS; head++) {
      const rows = rowsOf(
        headRows(data, { heads: HEADS, headDim: DIM, head }),
        DIM,
      );
      rows.forEach((row, i) => {
        const label = head * 20 + single.labels[head * 20 + i];
        assertEquals(
          single.centroids.slice(label * DIM, (label + 1) * DIM),
          row,
        );
      });
    }

    // Three directions, each at five lengths, and a key that has none.
    const few = new Float32Array(16 * HEADS * DIM);
    for (let i = 0; i < 15 * HEADS; i++) {
      few[i * DIM + (i >> 1) % 3] = 1 + Math.floor(i / 6);
    }
    using context = await SqueezedContext.create(gpu, {
      key: tensor(few),
      clusters: 8,
      levels: 2,
      coarseClusters: 8,
      observationWindow: 0,
    });
    const found = await read(gpu, context);
    assert(context.converged);
    for (let head = 0; head < HEADS; head++) {
      const counts = found.counts.slice(head * 8, (head + 1) * 8);
      assertEquals(counts.filter((count) => count > 0).length, 3);
      assertEquals(counts.reduce((sum, count) => sum + count, 0), 16);
      counts.forEach((count, c) => {
        const at = (head * 8 + c) * DIM;
        const centroid = found.centroids.slice(at, at + DIM);
        if (count === 0) assertEquals(centroid, new Array(DIM).fill(0));
        if (count === 5) assertEquals(centroid.filter((x) => x > 0), [3]);
      });
      const above = found.coarseCounts.slice(head * 8, (head + 1) * 8);
      assertEquals(above.reduce((sum, count) => sum + count, 0), 16);
      assertEquals(above.filter((count) => count > 0).length, 3);
    }
    // Nothing but keys without a direction.
    const zeros = await fitted(gpu, {
      key: tensor(new Float32Array(4 * HEADS * DIM)),
      clusters: 2,
      observationWindow: 1,
    });
    assertEquals(zeros.counts, [3, 0, 3, 0]);
    assertEquals(zeros.centroids, new Array(2 * HEADS * DIM).fill(0));
  },
);

gpuTest(
  "whatever the sizes, labels are nearest and means are their keys'",
  async (_, gpu) => {
    const random = new Prng(SEED);
    const drawn = Array.from({ length: 8 }, () => {
      const keys = 1 + random.below(200);
      return {
        heads: 1 + random.below(4),
        headDim: [1, 2, 3, 5, 16, 64][random.below(6)],
        keys,
        clusters: 1 + random.below(Math.min(keys, 40)),
      };
    });
    const cases = [
      // More heads than a workgroup draws seeds for, and the longest rows.
      { heads: 35, headDim: 4, keys: 20, clusters: 3 },
      { heads: 1, headDim: 256, keys: 70, clusters: 5 },
      { heads: 1, headDim: 253, keys: 70, clusters: 5 },
      // More seeds than go into one submit.
      { heads: 1, headDim: 4, keys: 256, clusters: 256 },
      ...drawn,
    ];
    for (const one of cases) {
      const { heads, headDim, keys, clusters } = one;
      const at = JSON.stringify({ ...one, seed: SEED });
      const directions = 1 + random.below(12);
      const seed = random.u32();
      const planted = { heads, headDim, keys, directions, spread: 0.4, seed };
      const data = plantedKeys(planted);
      const key = { data, shape: [keys, heads, headDim] };
      const places = keyPlaces(gpu, { key }, "a test");
      const { fine, converged } = await fitClusters(gpu, places, {
        members: keys,
        clusters,
        coarse: 0,
        iterations: 100,
        draws: {
          fine: Float32Array.from(
            { length: heads * clusters },
            () => random.below(2 ** 24) / 2 ** 24,
          ),
          coarse: new Float32Array(0),
        },
      });
      places.destroy();
      const tensors = [
        fine.labels,
        fine.counts,
        fine.centroids,
        fine.directions.centroids,
        fine.directions.halves,
      ];
      const [labels, counts, centroids, means, halves] = await gpu.read(
        tensors,
      );
      for (const tensor of tensors) {
        tensor.destroy();
      }
      assert(converged, at);
      for (let head = 0; head < heads; head++) {
        const own = headRows(data, { heads, headDim, head });
        const mine = labels.slice(head * keys, (head + 1) * keys);
        const width = clusters * headDim;
        const centres = rowsOf(
          means.slice(head * width, (head + 1) * width),
          headDim,
        );
        checkNearest(directionsOf(own, headDim), centres, {
          labels: mine,
          live: (c) => halves[head * clusters + c] < 2,
          at: `${at}, head ${head}`,
        });
        const rows = rowsOf(own, headDim);
        if (headDim > 1) {
          // No two keys point the same way, so every seed has a key at first.
          const used = new Set(mine).size;
          assert(used >= Math.min(2, clusters), at);
          if (clusters === keys) assertEquals(used, clusters, at);
        }
        for (let c = 0; c < clusters; c++) {
          const members = rows.filter((_, i) => mine[i] === c);
          assertEquals(counts[head * clusters + c], members.length, at);
          const found = centroids.slice(
            head * width + c * headDim,
            head * width + (c + 1) * headDim,
          );
          found.forEach((x, d) => {
            const sum = members.reduce((all, row) => all + row[d], 0);
            const size = members.reduce(
              (all, row) => all + Math.abs(row[d]),
              0,
            );
            const bound = (members.length + 2) * 2 ** -23 * size;
            const mean = sum / Math.max(1, members.length);
            assert(Math.abs(x - mean) <= bound, `${at}: ${x}, not ${mean}`);
          });
        }
      }
    }
  },
);

gpuTest(
  "keys that come later go to the nearest direction, in however many calls",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 120, spread: 0.6, seed: 8 });
    const upTo = (keys: number) => tensor(data.slice(0, keys * HEADS * DIM));
    const options = {
      clusters: 7,
      levels: 2,
      coarseClusters: 2,
      observationWindow: 5,
    } as const;
    const at = async (...lengths: number[]) => {
      using context = await SqueezedContext.create(gpu, {
        ...options,
        key: upTo(lengths[0]),
      });
      const [first] = await gpu.read([context.labels]);
      const before = context.labels;
      // Called at once: they take their turns.
      await Promise.all(
        lengths.slice(1).map((length) => context.update({ key: upTo(length) })),
      );
      assertEquals(before.destroyed, lengths.length > 1);
      assertEquals(context.keys, lengths.at(-1)! - 5);
      await context.update({ key: upTo(lengths.at(-1)!) });
      const bytes = context.byteLength;
      return { first: [...first], bytes, found: await read(gpu, context) };
    };
    const once = await at(60, 120);
    const often = await at(60, 61, 90, 120);
    const before = await at(60);
    assertEquals(often.found.labels, once.found.labels);
    assertEquals(often.found.counts, once.found.counts);
    assertEquals(often.found.coarseCounts, once.found.coarseCounts);
    assertEquals(often.found.coarseLabels, before.found.coarseLabels);
    assertEquals(once.bytes - before.bytes, 60 * HEADS * 4);
    assertClose(often.found.centroids, once.found.centroids, 1e-5, "centroids");
    const directions = await directionsAt(gpu, upTo(60), options);
    for (let head = 0; head < HEADS; head++) {
      const rows = headRows(data, { heads: HEADS, headDim: DIM, head });
      const labels = once.found.labels.slice(head * 115, (head + 1) * 115);
      // Those that were there stay where they were.
      assertEquals(
        labels.slice(0, 55),
        once.first.slice(head * 55, (head + 1) * 55),
      );
      const centres = rowsOf(
        directions.slice(head * 7 * DIM, (head + 1) * 7 * DIM),
        DIM,
      );
      checkNearest(directionsOf(rows, DIM).slice(0, 115), centres, {
        labels,
        live: () => true,
        at: `head ${head}`,
      });
      // Means are of all keys with the label, those of both levels.
      const means = (clusters: number, labelOf: (key: number) => number) => {
        const sums = Array.from({ length: clusters * DIM }, () => 0);
        const counts = new Array<number>(clusters).fill(0);
        labels.forEach((_, key) => {
          counts[labelOf(key)]++;
          for (let d = 0; d < DIM; d++) {
            sums[labelOf(key) * DIM + d] += rows[key * DIM + d];
          }
        });
        return sums.map((sum, i) =>
          sum / Math.max(1, counts[Math.floor(i / DIM)])
        );
      };
      const above = once.found.coarseLabels.slice(head * 7, (head + 1) * 7);
      assertClose(
        once.found.centroids.slice(head * 7 * DIM, (head + 1) * 7 * DIM),
        means(7, (key) => labels[key]),
        1e-5,
        "means",
      );
      assertClose(
        once.found.coarseCentroids.slice(head * 2 * DIM, (head + 1) * 2 * DIM),
        means(2, (key) => above[labels[key]]),
        1e-5,
        "coarse means",
      );
    }
  },
);

/** The directions that a context of default seed has found. */
async function directionsAt(
  gpu: Gpu,
  key: ReturnType<typeof tensor>,
  { clusters, observationWindow }: {
    readonly clusters: number;
    readonly observationWindow: number;
  },
): Promise<number[]> {
  const places = keyPlaces(gpu, { key }, "a test");
  const { fine } = await fitClusters(gpu, places, {
    members: key.shape[0] - observationWindow,
    clusters,
    coarse: 0,
    iterations: 300,
    draws: {
      fine: Float32Array.from(draws(0, [clusters])[0].flat()),
      coarse: new Float32Array(0),
    },
  });
  places.destroy();
  const found = [...await gpu.readOne(fine.directions.centroids)];
  const { centroids, counts, labels, directions } = fine;
  for (const one of [centroids, counts, labels]) one.destroy();
  directions.centroids.destroy();
  directions.halves.destroy();
  return found;
}

gpuTest(
  "keys are read where they lie: strides, f16, blocks of arenas, extents",
  async (_, gpu) => {
    const keys = 50;
    const options = { clusters: 6, observationWindow: 4 };
    for (const headDim of [8, 6]) {
      const planted = plantedKeys({
        ...PLANTED,
        headDim,
        keys,
        spread: 1,
        seed: 9,
      });
      // What f16 has, so that all of them are the same keys.
      const data = Float32Array.from(new Float16Array(planted));
      const key = tensor(data, headDim);
      const expected = await fitted(gpu, { ...options, key });
      const one = { data, shape: [1, ...key.shape] };
      assertEquals(await fitted(gpu, { ...options, key: one }), expected);
      using given = gpu.tensor(data, key.shape);
      assertEquals(await fitted(gpu, { ...options, key: given }), expected);
      assert(!given.destroyed);
      // Heads come before tokens, behind a few numbers that are none of theirs.
      const moved = new Float32Array(5 + data.length);
      data.forEach((x, i) => {
        const [token, rest] = [
          Math.floor(i / HEADS / headDim),
          i % (HEADS * headDim),
        ];
        const head = Math.floor(rest / headDim);
        moved[5 + (head * keys + token) * headDim + rest % headDim] = x;
      });
      const view = {
        data: moved,
        shape: key.shape,
        strides: [headDim, keys * headDim],
        offset: 5,
      };
      assertEquals(await fitted(gpu, { ...options, key: view }), expected);
      const half = { data: new Float16Array(data), shape: key.shape };
      if (gpu.features.has("shader-f16")) {
        assertEquals(await fitted(gpu, { ...options, key: half }), expected);
      }
      // In blocks, behind those of another sequence that comes in between.
      const bytes = 4 * HEADS * (2 * headDim) * 4;
      const cache = await KvCache.create(gpu, {
        numBlocks: 40,
        blockSize: 4,
        layers: 2,
        kvHeads: HEADS,
        headDim,
        maxArenaBytes: 12 * bytes,
      });
      assert(cache.segments > 2);
      const sequence = cache.createSequence();
      const other = cache.createSequence();
      const layer = (of: Float32Array, count: number) => {
        const shape = [count, HEADS, headDim];
        return { key: { data: of, shape }, value: { data: of, shape } };
      };
      for (let token = 0; token < keys; token += 5) {
        const own = data.slice(
          token * HEADS * headDim,
          (token + 5) * HEADS * headDim,
        );
        const reversed = own.map((_, i) => own[own.length - 1 - i]);
        for (
          const [into, of] of [[sequence, own], [other, reversed]] as const
        ) {
          cache.append([{ sequence: into, count: 5 }], {
            layers: [layer(own.map((x) => -x), 5), layer(of, 5)],
          });
        }
      }
      const held = { cache, sequence, layer: 1 };
      assertEquals(await fitted(gpu, { ...options, ...held }), expected);
      using grown = await SqueezedContext.create(gpu, {
        clusters: 6,
        observationWindow: 10,
        key: tensor(data.slice(0, 40 * HEADS * headDim), headDim),
      });
      using same = await SqueezedContext.create(gpu, {
        clusters: 6,
        observationWindow: 10,
        key: tensor(data.slice(0, 40 * HEADS * headDim), headDim),
      });
      await grown.update(held);
      await same.update({ key });
      assertEquals(await read(gpu, grown), await read(gpu, same));
      using first = await SqueezedContext.create(gpu, { ...options, ...held });
      assertEquals([first.layer, same.layer], [1, undefined]);
      await assertRejects(
        () => first.update({ cache, sequence }),
        RangeError,
        "layer of squeezed attention must be the context's (1)",
      );
      cache.destroy();

      const extents = await ContiguousCache.create(gpu, {
        numBlocks: 128,
        kvHeads: HEADS,
        headDim,
      });
      const before = extents.createSequence();
      const after = extents.createSequence();
      extents.append(
        [{ sequence: before, count: 7 }],
        layer(data.slice(0, 7 * HEADS * headDim), 7),
      );
      extents.append([{ sequence: after, count: keys }], layer(data, keys));
      assertEquals(
        await fitted(gpu, { ...options, cache: extents, sequence: after }),
        expected,
      );
      extents.destroy();
    }
  },
);

gpuTest(
  "by default a twentieth of the keys before the last hundred, and a hundredth",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 340, seed: 13 });
    using context = await SqueezedContext.create(gpu, {
      key: tensor(data),
      levels: 2,
    });
    const { keys, clusters, coarse } = clusterSizes(gpu, context);
    assertEquals([keys, clusters, coarse], [240, 12, 2]);
    assertEquals(context.length, 340);
    using one = await SqueezedContext.create(gpu, {
      key: tensor(data.slice(0, 105 * HEADS * DIM)),
      levels: 2,
      iterations: 1,
    });
    const small = clusterSizes(gpu, one);
    assertEquals([small.keys, small.clusters, small.coarse], [5, 1, 1]);
  },
);

gpuTest(
  "of a cache's sequence the written keys count, copies that wait with them",
  async (_, gpu) => {
    const data = plantedKeys({ ...PLANTED, keys: 10, seed: 12 });
    const rows = (first: number, count: number) => {
      const own = data.slice(
        first * HEADS * DIM,
        (first + count) * HEADS * DIM,
      );
      const shape = [count, HEADS, DIM];
      return { key: { data: own, shape }, value: { data: own, shape } };
    };
    const cache = await KvCache.create(gpu, {
      numBlocks: 10,
      blockSize: 4,
      kvHeads: HEADS,
      headDim: DIM,
    });
    const sequence = cache.createSequence();
    cache.append([{ sequence, count: 10 }], rows(0, 10));
    const fork = sequence.fork();
    // The last block becomes the fork's own, with rows that are yet to be copied.
    const step = cache.reserve([{ sequence: fork, count: 1 }]);
    assert(fork.blocks[2] !== sequence.blocks[2]);
    const options = { clusters: 3, observationWindow: 1 };
    const expected = await fitted(gpu, { ...options, key: tensor(data) });
    assertEquals(
      await fitted(gpu, { ...options, cache, sequence: fork }),
      expected,
    );
    step.cancel();
    sequence.dropBefore(4);
    await assertRejects(
      () => SqueezedContext.create(gpu, { ...options, cache, sequence }),
      TypeError,
      'sequence of squeezed attention must hold all keys of the context; they were dropped: current value is "key 0"',
    );
    cache.destroy();
  },
);

gpuTest(
  "of a manager's sequence the keys of one group are read",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, {
      numBlocks: 20,
      blockSize: 2,
      kvHeads: HEADS,
      headDim: DIM,
    });
    const manager = new CacheManager({ pool: cache.pool, groups: [{}, {}] });
    const tokens = Array.from({ length: 9 }, (_, i) => i);
    const { sequence } = manager.create(tokens);
    const reservation = manager.reserve(sequence, tokens);
    const keys = [14, 15].map((seed) =>
      plantedKeys({ ...PLANTED, keys: tokens.length, seed })
    );
    for (const [group, data] of keys.entries()) {
      using rows = gpu.tensor(data, tensor(data).shape);
      cache.step([reservation], { group }).write({ key: rows, value: rows });
    }
    manager.commit(sequence);
    const options = { clusters: 3, observationWindow: 1 };
    for (const [group, data] of keys.entries()) {
      assertEquals(
        await fitted(gpu, { ...options, cache, sequence, group }),
        await fitted(gpu, { ...options, key: tensor(data) }),
      );
    }
  },
);

gpuTest(
  "what a context cannot be made of is refused before anything runs",
  async (_, gpu) => {
    const key = tensor(plantedKeys({ ...PLANTED, keys: 12, seed: 10 }));
    const refused = async (
      options: Record<string, unknown>,
      type: ErrorConstructor,
      text: string,
    ) => {
      await assertRejects(
        () =>
          SqueezedContext.create(gpu, {
            key,
            clusters: 2,
            observationWindow: 2,
            ...options,
          } as SqueezedContextOptions),
        type,
        text,
      );
    };
    await refused(
      { clusters: 11 },
      RangeError,
      "clusters of squeezed attention must be <= 10",
    );
    await refused(
      { clusters: 0 },
      RangeError,
      "clusters must be an integer >= 1",
    );
    await refused(
      { observationWindow: 12 },
      RangeError,
      "observationWindow of squeezed attention must be less than the context's 12 keys",
    );
    await refused(
      { observationWindow: -1 },
      RangeError,
      "observationWindow must be an integer >= 0",
    );
    await refused(
      { levels: 3 },
      TypeError,
      "levels of squeezed attention must be 1 or 2",
    );
    await refused(
      { coarseClusters: 1 },
      TypeError,
      "coarseClusters of squeezed attention must be given with levels: 2 only",
    );
    await refused(
      { levels: 2, coarseClusters: 3 },
      RangeError,
      "coarseClusters of squeezed attention must be <= clusters (2)",
    );
    await refused(
      { iterations: 0 },
      RangeError,
      "iterations must be an integer >= 1",
    );
    await refused(
      { seed: -1 },
      RangeError,
      "seed must be an integer in 0..4294967295",
    );
    await refused({ numClusters: 4 }, TypeError, "write clusters");
    await refused(
      { key: undefined },
      TypeError,
      "key of squeezed attention must be given, or cache and sequence",
    );
    await refused(
      { layer: 1 },
      TypeError,
      "layer of squeezed attention must be given with cache only",
    );
    await refused(
      { key: { data: new Float32Array(24), shape: [2, 6, 1, 2] } },
      TypeError,
      "one sequence",
    );
    await refused(
      { key: { data: new Float32Array(0), shape: [0, 1, 2] } },
      RangeError,
      "observationWindow",
    );

    // Whoever stops waiting leaves nothing behind.
    await assertRejects(
      () =>
        SqueezedContext.create(gpu, {
          key,
          clusters: 2,
          observationWindow: 2,
          signal: AbortSignal.abort(new RangeError("no longer wanted")),
        }),
      RangeError,
      "no longer wanted",
    );

    const data = plantedKeys({ ...PLANTED, keys: 20, seed: 11 });
    const context = await SqueezedContext.create(gpu, {
      key,
      clusters: 2,
      observationWindow: 2,
    });
    const before = await read(gpu, context);
    await assertRejects(
      () => context.update({ key: tensor(data.slice(0, 11 * HEADS * DIM)) }),
      RangeError,
      "key of squeezed attention must be of all 12 keys of the context, and more",
    );
    await assertRejects(
      () => context.update({ key: { data, shape: [20, 1, 16] } }),
      TypeError,
      "key of squeezed attention must have the context's 2 heads of 8",
    );
    assertEquals(await read(gpu, context), before);
    const late = context.update({ key: tensor(data) });
    context.destroy();
    await assertRejects(
      () => late,
      TypeError,
      "context of squeezed attention must not be destroyed",
    );
    assert(context.destroyed && context.labels.destroyed);
  },
);

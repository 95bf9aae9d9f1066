/** The kernels of k-means, each against float64. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { UnsupportedError } from "../../../src/core/errors.ts";
import { keysAtOnce } from "../../../src/policies/squeezed/fit/grow.ts";
import { assignLoops } from "../../../kernels/selection/kmeans/assign.ts";
import { seedPickLoops } from "../../../kernels/selection/kmeans/seed_pick.ts";
import { updateLoops } from "../../../kernels/selection/kmeans/update.ts";
import {
  directionsOf,
  squaredDistance,
} from "../../../reference/policies/kmeans.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  type Dispatch,
  type Gpu,
  type GpuTensor,
  Program,
} from "../../../src/gpu/mod.ts";
import {
  assignDispatches,
  clustersAtOnce,
  drawSeeds,
  updateDispatch,
} from "../../../src/policies/squeezed/fit/kmeans.ts";
import { keyPlaces } from "../../../src/policies/squeezed/fit/key_places.ts";
import { gatherMembers } from "../../../src/policies/squeezed/fit/members.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkNearest,
  distanceBound,
  headRows,
  plantedKeys,
  rowsOf,
} from "../../support/squeezed.ts";

/** A full group, a part of one, more than a workgroup; dims with and without tails. */
const SHAPES = [
  { keys: 64, heads: 2, headDim: 8, clusters: 5 },
  { keys: 150, heads: 3, headDim: 8, clusters: 1 },
  { keys: 33, heads: 1, headDim: 7, clusters: 9 },
];

async function gathered(gpu: Gpu, data: Float32Array, shape: number[]) {
  const places = keyPlaces(gpu, { key: { data, shape } }, "a test");
  try {
    const { keys, kvHeads, headDim, format, headStride } = places;
    const sizes = { heads: kvHeads, members: keys, headDim };
    return await gatherMembers(gpu, sizes, {
      format,
      headStride,
      firstHead: 0,
      parts: places.parts(0, keys),
    });
  } finally {
    places.destroy();
  }
}

function draws(count: number, seed: number): Float32Array {
  const random = new Prng(seed);
  return Float32Array.from(
    { length: count },
    () => (random.u32() >>> 8) / 2 ** 24,
  );
}

async function run(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  resources: Record<string, GpuTensor>,
) {
  const program = await Program.create(gpu, "test", { dispatches });
  gpu.submit("test", (encoder) => program.encode(encoder, resources));
  program.destroy();
}

gpuTest(
  "gather: rows by head, and what makes them one long",
  async (_, gpu) => {
    for (const { keys, heads, headDim } of SHAPES) {
      const data = plantedKeys({
        keys,
        heads,
        headDim,
        directions: 4,
        spread: 0.3,
        seed: keys,
      });
      // A row of zeros, one whose squares overflow, one whose squares vanish,
      // and some of zeros but for one element.
      data.fill(0, 0, heads * headDim);
      data.fill(0, 3 * heads * headDim, (3 + headDim) * heads * headDim);
      for (let i = 0; i < headDim * heads; i++) {
        data[(3 * heads + i) * headDim + Math.floor(i / heads)] = -3;
      }
      for (let i = 0; i < heads * headDim; i++) {
        data[heads * headDim + i] *= 2 ** 120;
        data[2 * heads * headDim + i] *= 2 ** -100;
      }
      const members = await gathered(gpu, data, [keys, heads, headDim]);
      const [rows, scales] = await gpu.read([members.rows, members.scales]);
      members.destroy();
      for (let head = 0; head < heads; head++) {
        const own = headRows(data, { heads, headDim, head });
        const at = head * keys * headDim;
        assertEquals([...rows.slice(at, at + keys * headDim)], [...own]);
        rowsOf(own, headDim).forEach((row, i) => {
          const scale = scales[head * keys + i];
          if (i === 0) return assertEquals(scale, 0);
          const error = Math.abs(scale * Math.hypot(...row) - 1);
          assert(error <= (headDim + 8) * 2 ** -23, `row ${i}: ${error}`);
        });
      }
    }
  },
);

gpuTest(
  "seeds: each is where the sum of distances passes its draw",
  async (_, gpu) => {
    for (const { keys, heads, headDim, clusters } of SHAPES) {
      const data = plantedKeys({
        keys,
        heads,
        headDim,
        directions: 12,
        spread: 0.4,
        seed: 7 * keys,
      });
      // A key without a direction is no seed.
      data.fill(0, 2 * heads * headDim, 3 * heads * headDim);
      const members = await gathered(gpu, data, [keys, heads, headDim]);
      const labels = gpu.empty("u32", [heads, keys]);
      const drawn = draws(heads * clusters, keys);
      const picks = await drawSeeds(gpu, members, {
        clusters,
        draws: drawn,
        labels,
      });
      const [picked, labelled] = await gpu.read([picks, labels]);
      members.destroy();
      picks.destroy();
      labels.destroy();
      for (let head = 0; head < heads; head++) {
        const units = directionsOf(
          headRows(data, { heads, headDim, head }),
          headDim,
        );
        const own = picked.slice(
          head * (clusters + 1),
          (head + 1) * (clusters + 1),
        );
        assertEquals(own[0], clusters);
        const distances: number[] = units.map((_, i) => i === 2 ? 0 : 1);
        own.slice(1).forEach((pick, k) => {
          const aim = drawn[head * clusters + k] *
            distances.reduce((sum, one) => sum + one, 0);
          const before = distances.slice(0, pick).reduce(
            (s, one) => s + one,
            0,
          );
          // Each distance rounds, and so does each sum of them.
          const bound = 2 * keys * distanceBound(headDim);
          const at = `head ${head}, seed ${k}: key ${pick}`;
          assert(distances[pick] > 0, at);
          assert(before <= aim + bound, at);
          assert(before + distances[pick] > aim - bound, at);
          units.forEach((unit, i) => {
            if (i === 2) return;
            const distance = squaredDistance(unit, units[pick]);
            if (k === 0 || distance < distances[i]) distances[i] = distance;
          });
          // What is a seed already is not drawn again.
          distances[pick] = 0;
        });
        checkNearest(
          units.filter((_, i) => i !== 2),
          [...own.slice(1)].map((pick) => units[pick]),
          {
            labels: labelled.slice(head * keys, (head + 1) * keys)
              .filter((_, i) => i !== 2),
            live: () => true,
            at: `head ${head}`,
          },
        );
        assertEquals(labelled[head * keys + 2], 0);
      }
    }
  },
);

gpuTest(
  "assign: the nearest direction, of equal ones the first",
  async (_, gpu) => {
    for (const { keys, heads, headDim, clusters } of SHAPES) {
      const planted = { keys, heads, headDim, directions: 9, spread: 0.5 };
      const data = plantedKeys({ ...planted, seed: 3 * keys });
      const members = await gathered(gpu, data, [keys, heads, headDim]);
      // Twice as many as keys have, each twice, and one that none can take.
      const count = 2 * clusters + 1;
      const random = new Prng(keys);
      const centres = new Float32Array(heads * count * headDim);
      const halves = new Float32Array(heads * count);
      for (let head = 0; head < heads; head++) {
        for (let c = 0; c < count; c++) {
          const at = (head * count + c) * headDim;
          for (let d = 0; d < headDim; d++) {
            centres[at + d] = c < clusters
              ? random.normal() / Math.sqrt(headDim)
              : centres[at - clusters * headDim + d];
          }
          const own = centres.subarray(at, at + headDim);
          halves[head * count + c] = c === 2 * clusters
            ? 2 ** 126
            : own.reduce((sum, x) => sum + x * x, 0) / 2;
        }
      }
      const centroids = gpu.tensor(centres, [heads, count, headDim]);
      const half = gpu.tensor(halves, [heads, count]);
      const sizes = { heads, members: keys, headDim };
      const results: number[][] = [];
      const { rows, scales } = members;
      // At once, and in dispatches of as few as a device could ask for.
      for (const maxLoopIterations of [Infinity, 1 + (2 + headDim)]) {
        const labels = gpu.empty("u32", [heads, keys]);
        const best = gpu.empty("f32", [heads, keys]);
        const device = { limits: gpu.limits, maxLoopIterations };
        const dispatches = assignDispatches(device, sizes, count);
        await run(gpu, dispatches, {
          rows,
          scales,
          centroids,
          halves: half,
          labels,
          best,
        });
        if (maxLoopIterations < Infinity) {
          assertEquals(dispatches.length > 1, count > 8);
        }
        results.push([...await gpu.readOne(labels)]);
        labels.destroy();
        best.destroy();
      }
      members.destroy();
      centroids.destroy();
      half.destroy();
      assertEquals(results[1], results[0]);
      for (let head = 0; head < heads; head++) {
        const labels = results[0].slice(head * keys, (head + 1) * keys);
        assert(labels.every((label) => label < clusters), "the first of two");
        const at = head * count * headDim;
        checkNearest(
          directionsOf(headRows(data, { heads, headDim, head }), headDim),
          rowsOf(centres.subarray(at, at + clusters * headDim), headDim),
          { labels, live: () => true, at: `head ${head}` },
        );
      }
    }
  },
);

gpuTest(
  "update: means of directions, keys and clusters, by their labels",
  async (_, gpu) => {
    for (const { keys, heads, headDim } of SHAPES) {
      const planted = { keys, heads, headDim, directions: 9, spread: 0.5 };
      const data = plantedKeys({ ...planted, seed: 5 * keys });
      const members = await gathered(gpu, data, [keys, heads, headDim]);
      const clusters = 5;
      const random = new Prng(keys);
      // Cluster 3 has none.
      const given = Uint32Array.from(
        { length: heads * keys },
        () => [0, 1, 2, 4][random.below(4)],
      );
      const weighed = Uint32Array.from(given, () => random.below(4));
      const before = Float32Array.from(
        { length: heads * clusters * headDim },
        () => random.normal(),
      );
      const had = Uint32Array.from(
        { length: heads * clusters },
        (_, i) => i % 7,
      );
      const tensors = {
        rows: members.rows,
        scales: members.scales,
        labels: gpu.tensor(given, [heads, keys]),
        weights: gpu.tensor(weighed, [heads, keys]),
        halves: gpu.tensor(new Float32Array(heads * clusters).fill(9), [
          heads * clusters,
        ]),
        moved: gpu.empty("u32", [heads * clusters]),
      };
      const sizes = { heads, members: keys, headDim };
      const bound = (count: number, length: number) =>
        (count + 8) * length * 2 ** -22;
      for (
        const { of, more } of [
          { of: "directions", more: false },
          { of: "keys", more: false },
          { of: "keys", more: true },
          { of: "clusters", more: false },
        ] as const
      ) {
        const centroids = gpu.tensor(before, [heads, clusters, headDim]);
        const counts = gpu.tensor(had, [heads, clusters]);
        const update = [updateDispatch(gpu, sizes, { clusters, of, more })];
        await run(gpu, update, { ...tensors, centroids, counts });
        const [found, counted, halves, moved] = await gpu.read([
          centroids,
          counts,
          tensors.halves,
          tensors.moved,
        ]);
        if (of === "directions") {
          // Once more: what moved, and only that, moves no more.
          assertEquals(
            [...moved],
            [...had].map((_, i) => i % 5 === 3 ? 0 : 1),
          );
          await run(gpu, update, { ...tensors, centroids, counts });
          const [again, still] = await gpu.read([centroids, tensors.moved]);
          assertEquals([...again], [...found]);
          assert(still.every((word) => word === 0));
        }
        centroids.destroy();
        counts.destroy();
        for (let head = 0; head < heads; head++) {
          const own = headRows(data, { heads, headDim, head });
          const rows = of === "directions"
            ? directionsOf(own, headDim)
            : rowsOf(own, headDim);
          for (let c = 0; c < clusters; c++) {
            const at = (head * clusters + c) * headDim;
            const old = rowsOf(before.subarray(at, at + headDim), headDim)[0];
            let total = more ? had[head * clusters + c] : 0;
            let sum = old.map((x) => total * x);
            let length = total * Math.hypot(...old);
            rows.forEach((row, i) => {
              const member = head * keys + i;
              if (given[member] !== c) return;
              const weight = of === "clusters" ? weighed[member] : 1;
              total += weight;
              sum = sum.map((x, d) => x + weight * row[d]);
              length += weight * Math.hypot(...row);
            });
            const name = `${of} ${more}, head ${head}, cluster ${c}`;
            assertEquals(counted[head * clusters + c], total, name);
            const kept = of === "directions" && total === 0;
            sum.forEach((x, d) => {
              const mean = kept ? old[d] : x / Math.max(1, total);
              const error = Math.abs(found[at + d] - mean);
              const most = total === 0 ? 0 : bound(keys, length / total);
              assert(error <= most, `${name}: ${found[at + d]}, not ${mean}`);
            });
            if (of !== "directions") continue;
            const square = rowsOf(found.slice(at, at + headDim), headDim)[0]
              .reduce((s, x) => s + x * x, 0);
            const half = halves[head * clusters + c];
            const expected = kept ? 9 : square / 2;
            assert(
              Math.abs(half - expected) <= expected * headDim * 2 ** -23,
              `${name}: half ${half}, not ${expected}`,
            );
          }
        }
      }
      members.destroy();
      const { labels, weights, halves, moved } = tensors;
      for (const tensor of [labels, weights, halves, moved]) tensor.destroy();
    }
  },
);

Deno.test("k-means' dispatches keep to a device's loops", () => {
  for (const [most, vecs] of [[65535, 32], [200, 2], [40, 32], [Infinity, 1]]) {
    const clusters = clustersAtOnce(most, vecs);
    assert(clusters >= 4 && clusters % 4 === 0);
    if (most < Infinity) {
      assert(assignLoops(clusters, vecs) <= most);
      assert(assignLoops(clusters + 4, vecs) > most);
    }
  }
  const limits = {
    maxComputeWorkgroupsPerDimension: 65535,
    maxStorageBufferBindingSize: 2 ** 27,
    maxBufferSize: 2 ** 28,
  };
  const device = { limits, maxLoopIterations: 65535 } as unknown as Gpu;
  const update = (members: number) =>
    updateDispatch(device, { heads: 1, members, headDim: 8 }, {
      clusters: 1,
      of: "keys",
    });
  assert(updateLoops(59000) < 65535);
  update(59000);
  assertThrows(
    () => update(65000),
    UnsupportedError,
    "Cannot group 65000 keys: its loops take up to",
  );
  const most = keysAtOnce(device, 1, 8);
  assert(most > 30000 && updateLoops(most) <= 65535, `${most}`);
  assertEquals(
    keysAtOnce(
      {
        limits: {
          maxStorageBufferBindingSize: 1 << 20,
          maxBufferSize: 1 << 28,
        },
        maxLoopIterations: Infinity,
      } as Gpu,
      4,
      64,
    ),
    1024,
  );
  assert(seedPickLoops(1_000_000) < 65535);
});

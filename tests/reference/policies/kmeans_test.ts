import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  directionsOf,
  drawSeeds,
  kmeans,
  nearest,
  squaredDistance,
} from "../../../reference/policies/kmeans.ts";
import { Prng } from "../../../src/core/prng.ts";
import { property } from "../../support/property.ts";

function problem(seed: number, members: number, clusters: number) {
  const random = new Prng(seed);
  const headDim = 1 + random.below(4);
  return {
    // A few values only, so that there are duplicates, zeros and ties.
    rows: Array.from({ length: members * headDim }, () => random.below(5) - 2),
    headDim,
    clusters,
    draws: Array.from({ length: clusters }, () => random.uniform()),
    iterations: 50,
  };
}

property(
  "kmeans(): inertia never rises, rows are at their nearest, means are theirs",
  [
    fc.integer(),
    fc.integer({ min: 1, max: 40 }),
    fc.integer({
      min: 1,
      max: 12,
    }),
  ],
  (seed, members, clusters) => {
    const given = problem(seed, members, clusters);
    const { rows, headDim } = given;
    const found = kmeans(given);
    assert(found.converged);
    found.inertia.slice(1).forEach((sum, i) =>
      assert(sum <= found.inertia[i] + 1e-12)
    );
    const units = directionsOf(rows, headDim);
    units.forEach((unit, i) => {
      const own = squaredDistance(unit, found.directions[found.labels[i]]!);
      found.directions.forEach((mean, c) => {
        if (mean === undefined) return assert(found.counts[c] === 0);
        const other = squaredDistance(unit, mean);
        assert(c < found.labels[i] ? other > own : other >= own);
      });
    });
    assertEquals(found.counts.reduce((sum, n) => sum + n, 0), members);
    found.centroids.forEach((centroid, c) =>
      centroid.forEach((x, d) => {
        const sum = found.labels.reduce(
          (all, label, i) => all + (label === c ? rows[i * headDim + d] : 0),
          0,
        );
        assert(Math.abs(x * Math.max(1, found.counts[c]) - sum) < 1e-9);
      })
    );
  },
);

Deno.test("kmeans(): rows weigh what they stand for, in centroids alone", () => {
  const given = {
    rows: [1, 0, 3, 0, 0, 2],
    headDim: 2,
    clusters: 2,
    draws: [0, 0.5],
    iterations: 9,
  };
  const plain = kmeans(given);
  const weighed = kmeans({ ...given, weights: [3, 1, 5] });
  assertEquals(weighed.labels, plain.labels);
  assertEquals(plain.counts, [2, 1]);
  assertEquals(weighed.counts, [4, 5]);
  assertEquals(weighed.centroids.map((row) => [...row]), [[1.5, 0], [0, 2]]);
});

Deno.test("drawSeeds() draws by squared distance, and never the same twice", () => {
  // At right angles, opposite, and one without a direction.
  const units = [[1, 0], [0, 0], [0, 1], [-1, 0]].map((row) =>
    Float64Array.from(row)
  );
  assertEquals(drawSeeds(units, [0]), [0]);
  assertEquals(drawSeeds(units, [0.4]), [2]);
  // From the one at 0, the squares are 2 and 4: a third and two thirds.
  assertEquals(drawSeeds(units, [0, 0.33]), [0, 2]);
  assertEquals(drawSeeds(units, [0, 0.34]), [0, 3]);
  assertEquals(drawSeeds(units, [0, 0.34, 0.99]), [0, 3, 2]);
  // Nothing is left to be drawn.
  assertEquals(drawSeeds(units, [0, 0, 0, 0.5]).slice(3), [0]);
});

Deno.test("nearest() takes the first of equally near ones", () => {
  assertEquals(nearest([0], [[1], [-1], [1]]), 0);
  assertEquals(nearest([0], [undefined, [-1], [1]]), 1);
  assertEquals(nearest([0.1], [[-1], [1]]), 1);
});

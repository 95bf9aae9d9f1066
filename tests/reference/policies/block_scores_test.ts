import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { blockScores } from "../../../reference/policies/block_scores.ts";
import type { ReferenceProblem } from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { property } from "../../support/property.ts";

function problemOf(
  seed: number,
  [queryLength, keyLength]: readonly [number, number],
): ReferenceProblem {
  const random = new Prng(seed);
  const normal = (length: number) =>
    Float64Array.from({ length }, () => 2 * random.normal());
  return {
    query: normal(2 * queryLength * 2 * 3),
    key: normal(2 * keyLength * 3),
    value: normal(2 * keyLength * 3),
    batch: 2,
    queryLength,
    keyLength,
    queryHeads: 2,
    kvHeads: 1,
    headDim: 3,
    mask: (_b, _h, query, key) => key <= query,
  };
}

/** exp(<q, k> / sqrt d) over its row's sum, written out. */
function weightOf(
  { query, key, queryLength, keyLength }: ReferenceProblem,
  [b, h, i, j]: readonly number[],
): number {
  const offset = keyLength - queryLength;
  const score = (j: number) =>
    Math.exp(
      [0, 1, 2].reduce((sum, c) =>
        sum +
        query[((b * queryLength + i) * 2 + h) * 3 + c] *
          key[(b * keyLength + j) * 3 + c], 0) / Math.sqrt(3),
    );
  if (j > i + offset) return 0;
  let sum = 0;
  for (let n = 0; n <= i + offset && n < keyLength; n++) sum += score(n);
  return score(j) / sum;
}

property(
  "blockScores() are the largest weights of each block, over their sum",
  [fc.nat(), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })],
  (seed, keyLength, block) => {
    const queryLength = 1 + seed % 9;
    const problem = problemOf(seed, [queryLength, keyLength]);
    const [rows, columns] = [queryLength, keyLength].map((n) =>
      Math.ceil(n / block)
    );
    const found = blockScores(problem, block);
    assertEquals(found.length, 2 * 2 * rows * columns);
    found.forEach((score, at) => {
      const column = at % columns;
      const row = Math.floor(at / columns) % rows;
      const h = Math.floor(at / columns / rows) % 2;
      const b = Math.floor(at / columns / rows / 2);
      const largest = (J: number) => {
        let most = 0;
        for (let i = 0; i < queryLength; i++) {
          for (let j = 0; j < keyLength; j++) {
            if (Math.floor(i / block) !== row) continue;
            if (Math.floor(j / block) !== J) continue;
            most = Math.max(most, weightOf(problem, [b, h, i, j]));
          }
        }
        return most;
      };
      const all = Array.from({ length: columns }, (_, J) => largest(J));
      const sum = all.reduce((a, x) => a + x, 0);
      assertAlmostEquals(score, sum === 0 ? 0 : all[column] / sum, 1e-12);
    });
  },
  { runs: 60 },
);

Deno.test("rows of blocks add up to 1, and to 0 where nothing is seen", () => {
  // Queries 0 to 2 stand before the first key.
  const found = blockScores(problemOf(3, [8, 5]), 2);
  const sums = Array.from(
    { length: found.length / 3 },
    (_, row) => found.subarray(3 * row, 3 * row + 3).reduce((a, x) => a + x, 0),
  );
  assertEquals(sums.map((sum) => Math.round(sum * 1e12) / 1e12), [
    ...[0, 1, 1, 1],
    ...[0, 1, 1, 1],
    ...[0, 1, 1, 1],
    ...[0, 1, 1, 1],
  ]);
  assert(found.every((score) => score >= 0 && score <= 1));
});

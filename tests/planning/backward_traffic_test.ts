import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attentionBackward,
  type BackwardProblem,
  gradientBound,
} from "../../reference/mod.ts";
import { flash1BackwardSchedule } from "../../reference/schedules/flash1_backward.ts";
import { flash2BackwardSchedule } from "../../reference/schedules/flash2_backward.ts";
import { standardBackwardSchedule } from "../../reference/schedules/standard_backward.ts";
import {
  backwardTileElements,
  flash1BackwardCost,
  flash2BackwardCost,
  standardBackwardCost,
  standardCost,
} from "../../src/planning/mod.ts";
import { backwardOf, type Case, cases } from "../reference/cases.ts";
import { assertGradientsWithin } from "../reference/gradient_cases.ts";
import { property } from "../support/property.ts";
import { assertCost, sizesOf, sparse } from "./schedule_cases.ts";

const odd = cases({
  queryLength: fc.oneof(fc.nat(9), fc.constantFrom(16, 33)),
  keyLength: fc.oneof(fc.nat(9), fc.constantFrom(31, 64)),
  headDim: fc.constantFrom(1, 3, 8, 17),
  score: fc.constant("none"),
});

const tileSizes = fc.record({
  rows: fc.integer({ min: 1, max: 20 }),
  keys: fc.integer({ min: 1, max: 20 }),
});

/** A loss of the output alone: these schedules take no other. */
function outputLoss(c: Case): BackwardProblem {
  const { lseGradient: _, scoreDerivative: __, ...problem } = backwardOf(c);
  return problem;
}

/** Gradients summed term after term at worst, of a forward of such steps. */
function boundOf(problem: BackwardProblem) {
  return gradientBound(problem, { rows: 1, keys: 1 });
}

property(
  "flash2BackwardCost() is what the schedule moves, element by element",
  [odd, tileSizes],
  (c, tiles) => {
    const problem = outputLoss(c);
    const result = flash2BackwardSchedule(problem, tiles);
    assertCost(result, flash2BackwardCost(sizesOf(c), tiles));
    const expected = attentionBackward(problem);
    assertGradientsWithin(result, expected, boundOf(problem));
  },
);

property(
  "flash1BackwardCost() is what the schedule moves, element by element",
  [odd, tileSizes],
  (c, tiles) => {
    const problem = outputLoss(c);
    const result = flash1BackwardSchedule(problem, tiles);
    assertCost(result, flash1BackwardCost(sizesOf(c), tiles));
    const expected = attentionBackward(problem);
    assertGradientsWithin(result, expected, boundOf(problem));
  },
);

property(
  "backwardTileElements() is the fast memory that whole tiles hold",
  [odd, tileSizes, fc.integer({ min: 1, max: 2 })],
  (c, tiles, count) => {
    const whole = {
      ...c,
      queriesPerKvHead: 1,
      queryLength: tiles.rows * count,
      keyLength: tiles.keys * count,
    };
    const { peakElements } = flash2BackwardSchedule(outputLoss(whole), tiles);
    assertEquals(peakElements, backwardTileElements(sizesOf(whole), tiles));
  },
  { runs: 40 },
);

property(
  "backward costs of tiles that are visited",
  [odd, tileSizes],
  (c, tiles) => {
    const { visits, problem: hidden } = sparse(c, tiles);
    const problem = { ...outputLoss(c), ...hidden };
    const own = { ...tiles, visits };
    const sizes = sizesOf(c);
    const two = flash2BackwardSchedule(problem, own);
    const one = flash1BackwardSchedule(problem, own);
    assertCost(two, flash2BackwardCost(sizes, own));
    assertCost(one, flash1BackwardCost(sizes, own));
    const expected = attentionBackward(problem);
    assertGradientsWithin(two, expected, boundOf(problem));
    assertGradientsWithin(one, expected, boundOf(problem));
  },
);

property(
  "standardBackwardCost() is what the schedule moves, element by element",
  [odd],
  (c) => {
    const problem = outputLoss(c);
    const result = standardBackwardSchedule(problem);
    assertCost(result, standardBackwardCost(sizesOf(c)));
    const expected = attentionBackward(problem);
    assertGradientsWithin(result, expected, boundOf(problem));
  },
);

Deno.test("backward costs count the matrix products of each schedule", () => {
  const [n, d] = [256, 32];
  const sizes = { queries: n, keys: n, headDim: d };
  const tiles = { rows: 64, keys: 64 };
  const product = 2 * n * n * d;
  const delta = 2 * n * d;
  const forward = standardCost(sizes).flops.matmul;
  assertEquals(forward, 2 * product);
  assertEquals(standardBackwardCost(sizes).flops.matmul, 4 * product);
  assertEquals(
    flash1BackwardCost(sizes, tiles).flops.matmul,
    5 * product + (n / 64) * delta,
  );
  assertEquals(
    flash2BackwardCost(sizes, tiles).flops.matmul,
    7 * product + delta,
  );
});

Deno.test("backward schedules refuse what they do not take", () => {
  const [c] = fc.sample(odd, 1);
  const problem = outputLoss(c);
  for (
    const changes of [
      { score: (s: number) => s },
      { lseGradient: [] },
      { keep: () => 1 },
      { outputGradient: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] },
    ]
  ) {
    const bad = { ...problem, ...changes };
    const tiles = { rows: 4, keys: 4 };
    assertThrows(() => flash2BackwardSchedule(bad, tiles), TypeError);
    assertThrows(() => flash1BackwardSchedule(bad, tiles), TypeError);
    assertThrows(() => standardBackwardSchedule(bad), TypeError);
  }
});

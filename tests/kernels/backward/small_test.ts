/**
 * A few small cases that reach every line of the backward kernels, for faults
 * that are made in them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { PLAIN } from "../../support/attention/cases.ts";
import { checkBackward, GRADIENT_NAMES } from "../../support/backward/check.ts";
import {
  type BackwardCase,
  runBackward,
} from "../../support/backward/runner.ts";
import { gpuTest } from "../../support/gpu.ts";

const SHAPES: BackwardCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: [[13, 29], [0, 3], [9, 0], [21, 21]],
  padding: 3,
  queryHeads: 6,
  kvHeads: 2,
  headDim: 8,
  valueHeadDim: 12,
  lseGradient: true,
};

const CASES: Readonly<Record<string, BackwardCase>> = {
  "causal, shared heads": { ...SHAPES, causal: true },
  // A round's blanks lie where the round before stored gradients.
  "causal, in rounds": { ...SHAPES, sequences: [[61, 70]], causal: true },
  "in parts": { ...SHAPES, causal: true, parts: 3 },
  "soft cap": { ...SHAPES, score: { softcap: 1 }, window: { left: 5 } },
  dropout: { ...SHAPES, dropout: { rate: 0.4, seed: 5 } },
  // Whole tiles of keys that nobody wrote, and no mask to hide them.
  "unwritten keys": {
    ...SHAPES,
    layout: "dense",
    sequences: [[13, 3], [13, 150]],
    padding: 70,
  },
  "paged, odd dims": {
    ...SHAPES,
    layout: "paged",
    blockSize: 5,
    headDim: 7,
    valueHeadDim: 3,
    causal: true,
  },
};

for (const [name, c] of Object.entries(CASES)) {
  gpuTest(`small gradients keep the error rule: ${name}`, async (_, gpu) => {
    const stored = { ...c, scoreGradients: "stored" } as const;
    const cases = c.parts ? [c] : [c, stored];
    const [result, once] = await runBackward(gpu, cases);
    checkBackward(c, result);
    if (once === undefined) return;
    checkBackward(stored, once);
    assertEquals(once.explanation.scoreGradients, "stored");
    for (const gradient of GRADIENT_NAMES) {
      assertEquals(once[gradient], result[gradient], gradient);
    }
  });
}

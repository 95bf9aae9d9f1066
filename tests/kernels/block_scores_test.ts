/** Scores of blocks: the forward kernel's maxima, and what is made of them. */

import { assert, assertEquals } from "@std/assert";
import { GATES } from "../../reference/mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { assertSameBits, checkCase } from "../support/attention/check.ts";
import {
  type CaseResult,
  runCases,
  type RunOptions,
} from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** Blocks, rows, heads and sequences that all end in the middle of something. */
const RAGGED: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: [[40, 83], [33, 20], [0, 9], [40, 16], [3, 70], [37, 0]],
  padding: 3,
  queryHeads: 4,
  kvHeads: 2,
  causal: true,
  scoreBlock: 16,
};

async function check(
  gpu: Gpu,
  cases: readonly AttentionCase[],
  options?: RunOptions,
): Promise<CaseResult[]> {
  const results = await runCases(gpu, cases, options);
  cases.forEach((c, i) => checkCase(c, results[i]));
  return results;
}

gpuTest("scores of blocks are float64's, of any lengths", async (_, gpu) => {
  const [all] = await check(gpu, [
    RAGGED,
    { ...RAGGED, distribution: "large", scale: 0.1 },
    { ...RAGGED, distribution: "equal" },
    // Rows that stand before all keys, or after.
    { ...RAGGED, queryOffset: -20, seed: 2 },
    { ...RAGGED, queryOffset: 70, seed: 3 },
    // A block of all keys, and of more queries than there are.
    { ...RAGGED, scoreBlock: 128 },
  ]);
  // What a sequence has not is 0: the third has no queries, the last no keys.
  const { blockScores } = all;
  const [heads, rows, columns] = [4, 3, 6];
  const at = (sequence: number, head: number, row: number) =>
    ((sequence * heads + head) * rows + row) * columns;
  assertEquals(blockScores!.length, at(6, 0, 0));
  for (const sequence of [2, 5]) {
    const own = blockScores!.subarray(
      at(sequence, 0, 0),
      at(sequence + 1, 0, 0),
    );
    assert(own.every((score) => score === 0));
  }
  // The fifth has one row of blocks, and the fourth one column.
  assert(blockScores!.subarray(at(4, 1, 1), at(4, 2, 0)).every((x) => x === 0));
  assertEquals([...blockScores!.subarray(at(3, 0, 2), at(3, 1, 0))], [
    ...[1, 0, 0, 0, 0, 0],
  ]);
});

gpuTest(
  "scores of blocks add up to 1 in each row that sees a key",
  async (_, gpu) => {
    const c: AttentionCase = {
      ...RAGGED,
      sequences: [[70, 70]],
      layout: "dense",
    };
    const [{ blockScores }] = await check(gpu, [c]);
    for (let at = 0; at < blockScores!.length; at += 5) {
      const sum = blockScores!.subarray(at, at + 5).reduce((a, x) => a + x, 0);
      assert(Math.abs(sum - 1) <= 5 * GATES.wgsl.output * 2 ** -24, `${sum}`);
    }
  },
);

gpuTest("blocks need not be of whole steps", async (_, gpu) => {
  const [{ explanation }] = await check(gpu, [{ ...RAGGED, scoreBlock: 6 }]);
  // Of small tiles: 8 keys a step, cut to what divides the block.
  assertEquals(explanation.kernels.forward.tile.keys, 2);
});

gpuTest(
  "scores of blocks are of what masks, mods and dropout leave the log-sum-exp",
  async (_, gpu) => {
    await check(gpu, [{
      ...RAGGED,
      sequences: [[40, 83], [33, 20]],
      window: { left: 30 },
      score: { softcap: 5, alibi: true },
      dropout: { rate: 0.5, seed: 7 },
    }]);
  },
);

gpuTest("workgroups that share a row meet in its maxima", async (_, gpu) => {
  const c: AttentionCase = { ...RAGGED, splits: "stream-k", workers: 5 };
  const [{ explanation }] = await check(gpu, [c]);
  const kernels = explanation.dispatches.map(({ kernel }) => kernel);
  assert(kernels.some((kernel) => kernel.includes("persistent")), `${kernels}`);
});

gpuTest("prefixes that sequences read together are scored", async (_, gpu) => {
  const [{ explanation }] = await check(gpu, [{
    ...RAGGED,
    layout: "cache",
    blockSize: 8,
    sequences: [[40, 83], [33, 90], [3, 80]],
    inherits: [0, 72, 72],
    sharedPrefix: "always",
    score: { alibi: true },
  }]);
  assertEquals(explanation.sharedKeys.length, 1);
});

gpuTest("scores of blocks change no other bit", async (_, gpu) => {
  const c = { ...RAGGED, lse: true };
  const { scoreBlock: _block, ...plain } = c;
  const [scored, without] = await runCases(gpu, [c, plain]);
  assertSameBits(scored, without, "with scores of blocks");
});

gpuTest("scores of blocks of float16", async (_, gpu) => {
  await check(gpu, [{ ...RAGGED, dtype: "f16" }]);
}, { features: ["shader-f16"] });

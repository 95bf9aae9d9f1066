import { assert, assertEquals } from "@std/assert";
import {
  BLOCK,
  countCoverage,
  countMerged,
  countS2,
  HEADS,
} from "../../../repro/policies/s2_counts.ts";
import { maskFunction } from "../../../src/mods/mod.ts";
import { s2 } from "../../../src/policies/mod.ts";

const LENGTH = 640;
const STRIDE = 5;
const policy = s2({ localBlocks: 4, stride: STRIDE });
const sees = maskFunction(policy.maskMods({ queryHeads: HEADS }));

/** Pairs, and blocks that have any, by looking at every pair. */
function lookedAt() {
  const blocks = new Set<string>();
  let pairs = 0;
  for (let head = 0; head < HEADS; head++) {
    for (let q = 0; q < LENGTH; q++) {
      for (let k = 0; k <= q; k++) {
        if (!sees(0, head, q, k)) continue;
        pairs++;
        blocks.add([head, Math.floor(q / BLOCK), Math.floor(k / BLOCK)].join());
      }
    }
  }
  return { pairs, blocks: blocks.size };
}

Deno.test("countS2() is what looking at every pair gives", () => {
  const [row] = countS2([STRIDE], [LENGTH]);
  const { pairs, blocks } = lookedAt();
  assertEquals(row.density, pairs / (HEADS * LENGTH * (LENGTH + 1) / 2));
  assertEquals([row.blocks, row.visited], [blocks, blocks]);
  const causal = HEADS * (LENGTH / BLOCK) * (LENGTH / BLOCK + 1) / 2;
  assert(Math.abs(row.saving - causal / blocks) < 1e-9);
  assert(row.traffic > 1 && row.traffic < row.saving);
  // What the next row sees behind it is what is kept.
  let kept = 0;
  for (let head = 0; head < HEADS; head++) {
    for (let k = 0; k < LENGTH; k++) if (sees(0, head, LENGTH, k)) kept++;
  }
  assertEquals(row.kept, kept / HEADS);
  assert(row.peak >= row.kept && row.peak <= row.kept + 2 * BLOCK);
});

Deno.test("countMerged() visits what any of the merged rows sees", () => {
  const [alone, four] = countMerged(STRIDE, LENGTH * 2, [1, 4]);
  assertEquals(alone, { rows: 1, work: 1, loads: 1 });
  assertEquals(four.work, 4 * four.loads);
  assert(four.loads > 1 / 4 && four.loads < 1 / 2);
});

Deno.test("countCoverage() is the policy's", () => {
  const [half] = countCoverage([{ queryHeads: 4, kvHeads: 4, stride: 8 }]);
  assertEquals(half.fraction, 1 / 2);
});

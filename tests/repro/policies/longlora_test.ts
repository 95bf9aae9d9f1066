import { assert, assertEquals } from "@std/assert";
import { countLongLora } from "../../../repro/policies/longlora.ts";
import {
  countLength,
  countReach,
  countWrapped,
  HEADS,
  REACH,
} from "../../../repro/policies/longlora_counts.ts";
import { maskFunction } from "../../../src/mods/mod.ts";
import { attentionProblem } from "../../../src/ops/mod.ts";
import { longlora } from "../../../src/policies/mod.ts";

const LENGTH = 512;

/** Pairs that the policy keeps, one by one. */
function pairsOf(groupSize: number): number {
  const shape = [1, LENGTH, HEADS, 8];
  const rows = { dtype: "f32", shape } as const;
  const select = longlora({ groupSize });
  const sees = maskFunction(
    attentionProblem({ query: rows, key: rows, value: rows, select }).maskMods,
  );
  let pairs = 0;
  for (let at = 0; at < HEADS * LENGTH * LENGTH; at++) {
    const key = at % LENGTH;
    const query = Math.floor(at / LENGTH) % LENGTH;
    if (sees(0, Math.floor(at / LENGTH / LENGTH), query, key)) pairs++;
  }
  return pairs;
}

Deno.test("groups keep as many pairs as the mask, and visit no needless tile", () => {
  for (const groupSize of [64, 128, 256]) {
    const row = countLength("", LENGTH, longlora({ groupSize }));
    assertEquals(row.pairs, pairsOf(groupSize), `groups of ${groupSize}`);
    assertEquals(row.needless, 0);
    assert(row.visited >= row.pairs);
  }
  const full = countLength("", LENGTH);
  assertEquals(full.pairs, HEADS * LENGTH * (LENGTH + 1) / 2);
  assertEquals(full.needless, 0);
  assert(full.visited > full.pairs && full.visited < 1.2 * full.pairs);
});

Deno.test("LongLoRA's claims hold at every length that the repro counts", () => {
  const { rows, reach, wrapped } = countLongLora([2048, 8192]);
  const pairs = (of: number, length: number) => rows[of + length].pairs;
  assertEquals(rows.length, 6);
  assert(Math.abs(pairs(0, 3) / pairs(0, 0) - 16) < 0.01);
  assert(Math.abs(pairs(2, 3) / pairs(2, 0) - 4.2) < 0.01);
  assert(Math.abs(pairs(0, 3) / pairs(1, 3) - 32 / 7.5) < 0.01);
  assertEquals(reach[1], countReach(1));
  assertEquals(reach.at(-1)!.shifted, REACH.tokens);
  assertEquals(wrapped, countWrapped({ length: 64, groupSize: 16 }));
  assertEquals(wrapped, 64);
});

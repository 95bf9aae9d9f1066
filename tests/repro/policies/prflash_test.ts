import { assert, assertEquals } from "@std/assert";
import {
  countKept,
  countLoads,
  countRounds,
} from "../../../repro/policies/prflash_counts.ts";

Deno.test("what plans visit of drawn blocks is what is kept, near what is expected", () => {
  const rows = countKept([1024]);
  assertEquals(rows.length, 4);
  for (const { family, expected, kept, deviations, visited } of rows) {
    assert(Math.abs(deviations) <= 4, `${family}: ${deviations}`);
    assert(Math.abs(visited - kept) < 1e-12, `${family}: ${visited}, ${kept}`);
    assert(Math.abs(kept - expected) < 0.05, family);
  }
});

Deno.test("errors of rounds fall with their root where chances are divided by", () => {
  const { slope, rows } = countRounds({ seeds: 10, blocks: 16, dim: 4 });
  assertEquals(rows.length, 14);
  assert(Math.abs(slope.ht + 0.5) < 0.1, `${slope.ht}`);
  assert(slope.paper > -0.25, `${slope.paper}`);
});

Deno.test("the fold is even for whole triangles, rows one by one are not", () => {
  const [whole] = countLoads(16, 4);
  assertEquals(whole.folded, 1);
  // 13 + 14 + 15 + 16 rows, of 136 / 4.
  assertEquals(whole.contiguous, 58 / 34);
  // 4 + 8 + 12 + 16.
  assertEquals(whole.turns, 40 / 34);
});

import { assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { pairsRatio, skippedTables } from "../../bench/support/skipped_work.ts";
import { blocksOf } from "../../bench/support/sparse_times.ts";

Deno.test("blocksOf() has as many blocks as a density says, anywhere", () => {
  for (const [density, count] of [[1, 64], [0.75, 48], [0.0625, 4]]) {
    const blocks = blocksOf(density, 64);
    assertEquals([blocks.length, blocks.reduce((a, b) => a + b)], [64, count]);
  }
  const quarter = blocksOf(0.25, 64);
  assertEquals(blocksOf(0.25, 64), quarter);
  assertNotEquals(quarter, quarter.toSorted((a, b) => b - a));
});

Deno.test("pairsRatio() compares squares, padded to the longest", () => {
  assertEquals(pairsRatio([8, 8]), 1);
  assertAlmostEquals(pairsRatio([1, 2, 3]), 27 / 14);
});

Deno.test("skippedTables() sets sparse against dense, and padded against packed", () => {
  const text = skippedTables({
    sparse: {
      length: 512,
      dense: 6,
      rows: [{ density: 0.25, host: 2, device: 2.5 }],
      line: { atZero: 0.5, slope: 5.5, r2: 0.99 },
    },
    gradients: {
      dense: 15,
      rows: [{ density: 0.25, ms: 4 }],
      line: { atZero: 1, slope: 14, r2: 0.98 },
    },
    packed: [{
      cutOff: 64,
      lengths: [64, 32],
      pairs: 1.6,
      padded: 9,
      packed: 6,
    }],
  }, 200);
  for (
    const line of [
      /^25 % +2\.00 +2\.50 +3\.00x +4\.00 +3\.75x *$/m,
      /^Of gradients: 1\.00 ms \+ 14\.00 ms \* density, R\^2 0\.9800$/m,
      /^Nearest line: 0\.50 ms \+ 5\.50 ms \* density, R\^2 0\.9900$/m,
      /^2 of up to 64 +9\.00 +6\.00 +1\.50x +1\.60x *$/m,
    ]
  ) {
    assertEquals(line.test(text), true, `${line} in\n${text}`);
  }
});

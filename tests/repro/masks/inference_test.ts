import { assert, assertEquals } from "@std/assert";
import { countInference } from "../../../repro/masks/inference.ts";
import { randomMask } from "../../../repro/masks/random_masks.ts";
import { Prng } from "../../../src/core/prng.ts";
import { maskFunction } from "../../../src/mods/mod.ts";

Deno.test("inference is never wrong, and tells every tile of exact families", () => {
  const { rows } = countInference([
    "causal",
    "window",
    "documents, one after the other",
    "dilated",
    "documents, in turns",
    "sink and window",
  ]);
  assertEquals(rows.length, 6);
  for (const { family, exact, wrong, undecided, uniform, tiles } of rows) {
    assertEquals(wrong, 0, family);
    assert(uniform > 0 && uniform <= tiles, family);
    if (exact) assertEquals(undecided, 0, family);
  }
  const { undecided } = rows.find(({ exact }) => !exact)!;
  assert(undecided > 0, "brute force finds what is not told");
});

Deno.test("randomMask() is one mask a seed, and most are neither all nor none", () => {
  const mixed = Array.from({ length: 60 }, (_, seed) => {
    const masks = [0, 1].map(() => maskFunction([randomMask(new Prng(seed))]));
    const seen = masks.map((sees) => {
      let count = 0;
      for (let q = 0; q < 256; q += 5) {
        for (let k = 0; k < 256; k += 5) if (sees(0, 0, q, k)) count++;
      }
      return count;
    });
    assertEquals(seen[0], seen[1]);
    return seen[0] > 0 && seen[0] < 52 * 52;
  });
  assert(mixed.filter(Boolean).length > 20);
});

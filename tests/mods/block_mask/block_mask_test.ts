import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import {
  bindRows,
  type BlockMask,
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  causal,
  document,
  maskFunction,
  throughTable,
} from "../../../src/mods/mod.ts";
import { property } from "../../support/property.ts";
import { maskCases } from "../masks_arbitrary.ts";
import {
  type BlockCase,
  blockCases,
  eachPair,
  geometries,
  levelAt,
  randomLevels,
  rowsWith,
} from "./masks.ts";

/** Fails unless a mask means what it should, pair by pair and in its levels. */
function holds({ mask, meaning }: BlockCase): void {
  const { grid, levels } = mask;
  const [mod] = bindRows([mask.maskMod()], [grid.queryOffset]);
  const sees = maskFunction([mod]);
  eachPair(grid, (b, h, row, key) => {
    const expected = meaning(b, h, row, key);
    const at = `batch ${b}, head ${h}, row ${row}, key ${key}`;
    assertEquals(sees(b, h, row + grid.queryOffset, key), expected, at);
    const level = levelAt([...levels], grid, [b, h, row, key]);
    if (level === 0) assert(!expected, `${at} is in an empty block`);
    if (level === 2) assert(expected, `${at} is not seen in a full block`);
  });
}

const onlyOne = geometries.chain((geometry) => blockCases(geometry));
const two = geometries.chain((geometry) =>
  fc.tuple(blockCases(geometry), blockCases(geometry))
);

property("a block mask of any source is what it is made of", [onlyOne], holds, {
  runs: 200,
});

property(
  "and(), or() and not() of block masks are those of their pairs",
  [two, fc.boolean()],
  ([a, b], inverted) => {
    const second: BlockCase = inverted
      ? { mask: b.mask.not(), meaning: (...at) => !b.meaning(...at) }
      : b;
    holds({
      mask: a.mask.and(second.mask),
      meaning: (...at) => a.meaning(...at) && second.meaning(...at),
    });
    holds({
      mask: a.mask.or(second.mask),
      meaning: (...at) => a.meaning(...at) || second.meaning(...at),
    });
  },
  { runs: 200 },
);

property(
  "blockMask() tells full, partial and empty blocks of masks that intervals decide",
  [geometries, maskCases],
  (geometry, { mask, meaning, exact }) => {
    if (!exact) return;
    const { grid, levels } = blockMask(mask, {
      ...geometry,
      batch: 2,
      heads: 2,
    });
    const seen = new Float64Array(levels.length);
    const all = new Float64Array(levels.length);
    eachPair(grid, (b, h, row, key) => {
      const block = (((b * grid.heads + h) * grid.queryBlocks +
        Math.floor(row / grid.queryBlock)) * grid.keyBlocks) +
        Math.floor(key / grid.keyBlock);
      all[block]++;
      if (meaning(b, h, row + grid.queryOffset, key)) seen[block]++;
    });
    assertEquals(
      [...levels],
      [...seen].map((n, i) => n === 0 ? 0 : n === all[i] ? 2 : 1),
    );
  },
  { runs: 200 },
);

property(
  "lists have the blocks of each row, transposed ones of each column",
  [geometries, fc.nat()],
  (geometry, seed) => {
    const levels = randomLevels(geometry, seed, 3);
    const [full, partial] = [rowsWith(levels, 2), rowsWith(levels, 1)];
    const given = { full, partial, maskMod: causal() };
    const mask = blockMaskFromLists(given, geometry);
    const again = blockMaskFromLists(
      { ...mask.lists, maskMod: causal() },
      geometry,
    );
    assertEquals([...mask.levels], levels.of);
    assertEquals([...again.levels], levels.of);
    const { batch, heads, queryBlocks, keyBlocks } = mask.grid;
    for (const [kind, level] of [["full", 2], ["partial", 1]] as const) {
      const { offsets, indices } = mask.transposed[kind];
      assertEquals(offsets.length, batch * heads * keyBlocks + 1);
      const rows = Array.from(
        { length: offsets.length - 1 },
        (_, i) => [...indices.subarray(offsets[i], offsets[i + 1])],
      );
      rows.forEach((blocks, i) => {
        const [plane, k] = [Math.floor(i / keyBlocks), i % keyBlocks];
        const expected = Array.from({ length: queryBlocks }, (_, q) => q)
          .filter((q) =>
            levels.of[(plane * queryBlocks + q) * keyBlocks + k] === level
          );
        assertEquals(blocks, expected);
      });
    }
  },
  { runs: 100 },
);

property(
  "countPairs() counts, and density() counts blocks",
  [onlyOne],
  ({ mask, meaning }) => {
    let seen = 0;
    eachPair(mask.grid, (...at) => {
      if (meaning(...at)) seen++;
    });
    const { batch, heads, queries, keys } = mask.grid;
    assertEquals(mask.countPairs(), {
      seen,
      all: batch * heads * queries * keys,
    });
    const { full, partial } = mask.lists;
    const visited = full.indices.length + partial.indices.length;
    assertEquals(mask.density(), {
      blocks: mask.levels.length,
      visited,
      full: full.indices.length,
      ratio: visited / mask.levels.length,
    });
  },
  { runs: 60 },
);

property(
  "throughTable() gives each sequence its own blocks, in the order of keys",
  [geometries, fc.nat(), fc.constantFrom(1, 2, 3), fc.boolean()],
  (geometry, seed, blockSize, shared) => {
    const keyBlock = geometry.keyBlock * blockSize;
    const own = { ...geometry, keyBlock, batch: shared ? 1 : geometry.batch };
    const levels = randomLevels(own, seed, 2);
    const mask = blockMaskFromLists({ full: rowsWith(levels, 1) }, own);
    const sequences = shared ? 3 : geometry.batch;
    const needed = Math.ceil(geometry.keys / blockSize);
    const width = needed + seed % 2;
    // Block i of sequence s is 1000 s + i, in no order.
    const blockTable = Uint32Array.from(
      { length: sequences * width },
      (_, i) => 1000 * Math.floor(i / width) + (i % width) * 7 % 997,
    );
    const { full, partial } = throughTable(mask, {
      blockTable,
      blockSize,
      sequences,
    });
    assertEquals(partial.indices.length, 0);
    const rows = levels.rows / own.batch;
    const expected: number[] = [];
    const offsets = [0];
    for (let s = 0; s < sequences; s++) {
      for (let row = 0; row < rows; row++) {
        const at = (shared ? row : s * rows + row) * levels.columns;
        for (let block = 0; block < needed; block++) {
          const logical = Math.floor(block * blockSize / keyBlock);
          if (levels.of[at + logical] === 1) {
            expected.push(blockTable[s * width + block]);
          }
        }
        offsets.push(expected.length);
      }
    }
    assertEquals([...full.indices], expected);
    assertEquals([...full.offsets], offsets);
  },
  { runs: 100 },
);

Deno.test("draw() draws blocks, and pairs of partial ones", () => {
  const mask = blockMask(causal(), { queries: 10, keys: 14, queryBlock: 4 });
  const { text, svg, tiles } = mask.draw({ title: "top left" });
  assertEquals(text, "█▒··\n██▒·\n███▒\n");
  assertEquals(tiles, { empty: 3, full: 6, mixed: 3 });
  assert(svg.includes("top left"));
});

Deno.test("draw() draws the sequence and head that is asked for", () => {
  const mask = blockMaskFromPattern(
    (head, q, k, batch) => q === head && k === batch,
    { queries: 4, keys: 4, queryBlock: 2, batch: 2, heads: 2 },
  );
  assertEquals(mask.draw({ batch: 1, head: 0 }).text, "·█\n··\n");
  assertEquals(mask.draw({ batch: 0, head: 1 }).text, "··\n█·\n");
});

Deno.test("a mask for kv heads is that of the query heads of each", () => {
  const mask = blockMaskFromPattern((head, _, k) => k === head, {
    queries: 1,
    keys: 2,
    queryBlock: 1,
    heads: 2,
  });
  const sees = maskFunction(bindRows([mask.maskMod(6)], [1]));
  const seen = Array.from({ length: 6 }, (_, h) => sees(0, h, 1, 0));
  assertEquals(seen, [true, true, true, false, false, false]);
});

Deno.test("masks of one head and of several combine for query heads", () => {
  const geometry = { queries: 2, keys: 2, queryBlock: 1 };
  const each = blockMaskFromPattern((head, _, k) => k === head, {
    ...geometry,
    heads: 2,
  });
  const all = blockMaskFromPattern((_, q) => q === 0, geometry);
  for (const mask of [each.and(all), all.and(each)]) {
    const sees = maskFunction(bindRows([mask.maskMod(4)], [0]));
    const seen = [0, 1, 2, 3].map((h) => [0, 1].map((k) => sees(0, h, 0, k)));
    assertEquals(seen, [
      [true, false],
      [true, false],
      [false, true],
      [false, true],
    ]);
    assert(!sees(0, 0, 1, 0));
  }
});

Deno.test("rows by position are those of positions, wherever queries begin", () => {
  const mask = blockMaskFromPattern((_, q, k) => q === k, {
    queries: 8,
    keys: 8,
    queryBlock: 2,
    queryOffset: 0,
  });
  // Query 0 of a chunk that begins at position 5.
  const sees = maskFunction(bindRows([mask.maskMod()], [5]));
  assert(sees(0, 0, 5, 4) && sees(0, 0, 5, 5) && !sees(0, 0, 5, 6));
});

Deno.test("blockMask() does not form pairs: a million tokens are quick", () => {
  const length = 2 ** 20;
  const ids = Int32Array.from({ length }, (_, i) => i >> 14);
  const mask: BlockMask = blockMask([causal(), document(ids)], {
    queries: length,
    keys: length,
    queryBlock: 2048,
  });
  // 64 documents of 8 blocks: 36 blocks each, of which 28 are full.
  assertEquals(mask.density(), {
    blocks: 2 ** 18,
    visited: 64 * 36,
    full: 64 * 28,
    ratio: 64 * 36 / 2 ** 18,
  });
});

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BeamSearch,
  lineageBlocks,
  toyBeamSearch,
} from "../../../repro/sharing/beam_lineage.ts";
import {
  countSharing,
  type Decoding,
} from "../../../repro/sharing/sharing_counts.ts";
import {
  BlockPool,
  CacheManager,
  OutOfBlocksError,
} from "../../../src/cache/mod.ts";
import { property } from "../../support/property.ts";

/** Different blocks by their content, where each token ever written differs. */
function blocksByContent(
  { lineage, beams, prompt, blockSize }: BeamSearch,
): number {
  const start = Array.from({ length: prompt }, (_, i) => `p${i}`);
  let texts = Array.from({ length: beams }, () => start);
  lineage.forEach((parents, step) => {
    texts = parents.map((p, beam) => [...texts[p], `${step}/${beam}`]);
  });
  const blocks = texts.flatMap((text) =>
    Array.from(
      { length: Math.ceil(text.length / blockSize) },
      (_, i) => text.slice(i * blockSize, (i + 1) * blockSize).join(),
    )
  );
  return new Set(blocks).size;
}

property(
  "lineageBlocks() counts the blocks that differ, as a pool does",
  [
    fc.integer({ min: 1, max: 4 }).chain((beams) =>
      fc.record({
        beams: fc.constant(beams),
        prompt: fc.integer({ min: 1, max: 9 }),
        blockSize: fc.integer({ min: 1, max: 5 }),
        lineage: fc.array(
          fc.array(fc.nat({ max: beams - 1 }), {
            minLength: beams,
            maxLength: beams,
          }),
          { minLength: 1, maxLength: 12 },
        ),
      })
    ),
  ],
  (search) => {
    const { lineage, beams: width, prompt, blockSize } = search;
    const expected = blocksByContent(search);
    assertEquals(lineageBlocks(search), expected);
    const pool = new BlockPool({ numBlocks: 200, blockSize });
    const cache = new CacheManager({ pool });
    const { sequence, pending } = cache.create(new Array(prompt).fill(0));
    cache.reserve(sequence, pending);
    const beams = [
      sequence,
      ...width > 1 ? cache.fork(sequence, width - 1) : [],
    ];
    const tokens = beams.map((_, i) => [i]);
    for (const parents of lineage) cache.reorder({ beams, parents, tokens });
    assertEquals(pool.usedBlocks, expected);
    cache.verify();
  },
);

Deno.test("toyBeamSearch() begins with one beam and repeats by its seed", () => {
  const search = { beams: 4, steps: 50, seed: 9 };
  const lineage = toyBeamSearch(search);
  assertEquals(lineage, toyBeamSearch(search));
  assertEquals(lineage.length, 50);
  assertEquals(lineage[0], [0, 0, 0, 0]);
  for (const parents of lineage) {
    // A beam that goes on stays where it is.
    parents.forEach((parent) => assertEquals(parents[parent], parent));
  }
  assert(new Set(lineage.flat()).size > 1);
});

for (const decoding of ["samples", "beams"] as Decoding[]) {
  Deno.test(`${decoding} take the blocks of the closed form`, () => {
    const rows = [2, 5, 8].map((width) =>
      countSharing({
        workload: "instructions",
        decoding,
        width,
        requests: 12,
        memory: 2000,
      })
    );
    let before = 0;
    for (const row of rows) {
      assertEquals(row.blocks, row.closedForm);
      assertEquals(row.saved, 1 - row.blocks / row.logical);
      assert(row.saved > before && row.fit > row.fitUnshared);
      before = row.saved;
    }
    if (decoding === "beams") assert(before >= 0.55);
  });
}

/** Requests of 4 samples, 40 + 20 tokens each, until the pool is full. */
function fill(blocks: number, forked: boolean): number {
  const pool = new BlockPool({ numBlocks: blocks + 1, blockSize: 16 });
  const cache = new CacheManager({ pool, watermark: 0 });
  const zeros = (count: number) => new Array(count).fill(0);
  for (let requests = 0;; requests++) {
    try {
      const begin = () => {
        const { sequence, pending } = cache.create(zeros(40));
        cache.reserve(sequence, pending);
        return sequence;
      };
      const first = begin();
      const others = forked
        ? cache.fork(first, 3)
        : Array.from({ length: 3 }, begin);
      for (const own of [first, ...others]) cache.reserve(own, zeros(20));
    } catch (error) {
      if (error instanceof OutOfBlocksError) return requests;
      throw error;
    }
  }
}

Deno.test("a full pool holds as many requests as the closed form says", () => {
  // 2 blocks of the prompt and 2 of each sample, against 4 of each.
  assertEquals(fill(160, true), 160 / (2 + 4 * 2));
  assertEquals(fill(160, false), 160 / (4 * 4));
});

/** What S2-Attention keeps, without a GPU. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { reachability, s2Blocks, s2Mask } from "../../../reference/mod.ts";
import {
  blockMask,
  causal,
  classifyMask,
  maskFunction,
} from "../../../src/mods/mod.ts";
import { attentionProblem, type PolicyShape } from "../../../src/ops/mod.ts";
import { plannedProblem } from "../../../repro/schedules/schedule_plans.ts";
import {
  policyReport,
  s2,
  type S2Heads,
  type S2Options,
} from "../../../src/policies/mod.ts";
import { countDensity } from "../../../repro/policies/s2_counts.ts";
import { property } from "../../support/property.ts";
import { type S2Case, s2Cases, s2MaskOptions } from "./patterns.ts";

const BLOCKS = 14;

function shapeOf(
  { queryHeads, kvHeads = queryHeads }: S2Heads,
  sequences: PolicyShape["sequences"],
): PolicyShape {
  const dims = { headDim: 8, valueHeadDim: 8, scale: 1 };
  return { dtype: "f32", queryHeads, kvHeads, ...dims, sequences };
}

const square = (count: number) => [
  { queryCount: count, keyCount: count, queryOffset: 0 },
];

/** The blocks that each head keeps, by the twin: `[kvHead][row]`. */
function keptBlocks({ options, heads }: S2Case): number[][][] {
  const plain = s2MaskOptions(options, heads);
  return Array.from(
    { length: heads.kvHeads },
    (_, kvHead) =>
      Array.from(
        { length: BLOCKS },
        (_, row) => s2Blocks(plain, { kvHead, row, blocks: BLOCKS }),
      ),
  );
}

property(
  "the mask is the twin's, pair by pair, and no block is undecided",
  [s2Cases],
  ({ options, heads }) => {
    const policy = s2(options);
    const mods = policy.maskMods(heads);
    const sees = maskFunction(mods);
    const expected = s2Mask(s2MaskOptions(options, heads));
    const { block } = policy;
    const size = Math.min(BLOCKS, 8) * block + 1;
    for (let head = 0; head < heads.queryHeads; head++) {
      for (let q = 0; q < size; q++) {
        for (let k = 0; k < size; k++) {
          assertEquals(sees(0, head, q, k), expected(0, head, q, k));
        }
      }
    }
    const kept = keptBlocks({ options, heads });
    const group = heads.queryHeads / heads.kvHeads;
    kept.forEach((rows, kvHead) =>
      rows.forEach((columns, row) => {
        for (let column = 0; column < BLOCKS; column++) {
          const found = classifyMask(mods, {
            batch: [0, 0],
            // All heads of a group at once, as kernels take them.
            head: [kvHead * group, (kvHead + 1) * group - 1],
            query: [row * block, (row + 1) * block - 1],
            key: [column * block, (column + 1) * block - 1],
          });
          const own = options.causal && row === column && block > 1;
          const keeps = columns.includes(column);
          assertEquals(found, keeps ? (own ? "some" : "all") : "none");
          assertEquals(policy.keeps(heads, { kvHead, row, column }), keeps);
        }
      })
    );
  },
  { runs: 60 },
);

property(
  "coverage is what the union of heads leaves out",
  [s2Cases],
  ({ options, heads }) => {
    const { complete, missing, fraction } = s2(options).coverage(heads);
    // Rows and bands so far from the end that all residues are there.
    const kept = keptBlocks({ options, heads });
    const { left, stride, relative } = s2MaskOptions(options, heads);
    const row = BLOCKS - 1;
    const unseen = new Set<number>();
    for (let column = 0; column <= row - left; column++) {
      if (kept.some((rows) => rows[row].includes(column))) continue;
      unseen.add((relative ? row - column - left + 1 : column) % stride);
    }
    assertEquals(missing, [...unseen].sort((a, b) => a - b));
    assertEquals(complete, unseen.size === 0);
    assertEquals(fraction, (stride - unseen.size) / stride);
  },
  { runs: 300 },
);

property(
  "a pattern is KV-efficient where no block comes back",
  [s2Cases],
  (given) => {
    const { options, heads } = given;
    const { left } = s2MaskOptions(options, heads);
    const kept = keptBlocks(given);
    const comesBack = kept.some((rows) =>
      rows.some((columns, row) =>
        row > 0 &&
        columns.some((column) =>
          column <= row - left && !rows[row - 1].includes(column)
        )
      )
    );
    const { kvEfficient } = s2(options);
    if (kvEfficient) assert(!comesBack);
    // What is not causal looks ahead, so a block is used before its row.
    else if (options.causal && (options.denseHeads ?? 0) < heads.kvHeads) {
      assert(comesBack);
    }
  },
  { runs: 300 },
);

Deno.test("heads as published cover the context, or half of it, or 2 of 5", () => {
  const coverage = (stride: number, queryHeads: number, kvHeads = queryHeads) =>
    s2({ localBlocks: 1, stride }).coverage({ queryHeads, kvHeads });
  assertEquals(coverage(8, 8).complete, true);
  assertEquals(coverage(8, 4).missing, [1, 3, 5, 7]);
  assertEquals(coverage(5, 2).fraction, 2 / 5);
  assertEquals(coverage(5, 2).missing, [1, 2, 4]);
  // The step follows the query heads, the shifts are of key/value heads.
  assertEquals(coverage(8, 32, 8).complete, true);
  assertEquals(coverage(8, 8, 2).missing, [1, 2, 3, 4, 5, 6]);
  const dense = s2({ localBlocks: 1, stride: 99, denseHeads: 1 });
  assertEquals(dense.coverage({ queryHeads: 1 }).complete, true);
});

Deno.test("what heads leave out in one layer comes by the band in later ones", () => {
  const known = (stride: number, layers: number) => {
    const tokens = 24;
    const options = { block: 2, localBlocks: 2, stride };
    const heads = { queryHeads: 2, kvHeads: 2 };
    const mask = s2Mask(s2MaskOptions(options, heads));
    const reached = reachability({ tokens, heads: 2, mask, layers });
    // The blocks that the last token knows.
    const row = reached.subarray((tokens - 1) * tokens);
    return Array.from(
      { length: tokens / 2 },
      (_, k) => row[2 * k] + row[2 * k + 1],
    ).flatMap((count, k) => count > 0 ? [k] : []);
  };
  const all = Array.from({ length: 12 }, (_, k) => k);
  assertEquals(known(2, 1), all);
  // Blocks 0, 5, 10 and 3, 8 of the heads, and the band.
  assertEquals(known(5, 1), [0, 3, 5, 8, 10, 11]);
  assertEquals(known(5, 2), all.filter((k) => k % 5 !== 1 || k === 11));
  assertEquals(known(5, 3), all);
});

Deno.test("vLLM's phase is DKernel's, one block on", () => {
  const at = (options: Partial<S2Options>) => {
    const policy = s2({ localBlocks: 1, stride: 4, ...options });
    return [0, 1, 2, 3, 4, 5, 6, 7].filter((column) =>
      policy.keeps({ queryHeads: 4 }, { kvHead: 1, row: 9, column })
    );
  };
  assertEquals(at({}), [3, 7]);
  assertEquals(at({ phase: "vllm" }), [2, 6]);
  assertEquals(at({ offset: 1 }), [2, 6]);
  assertEquals(at({ phase: "vllm", offset: -1 }), [3, 7]);
  assertEquals(at({ offset: -6 }), [1, 5]);
  assertEquals(at({ headStep: 0 }), [0, 4]);
  assertEquals(at({ headStep: 7 }), [1, 5]);
});

Deno.test("blocks have 64 positions unless it is said", () => {
  assertEquals(s2({ localBlocks: 1, stride: 2 }).block, 64);
});

Deno.test("tiles that are visited are the blocks that the pattern keeps", () => {
  const heads = { queryHeads: 4, kvHeads: 4 };
  const options = { block: 16, localBlocks: 3, stride: 4 };
  const policy = s2(options);
  const length = BLOCKS * 16;
  const geometry = { queries: length, keys: length, heads: 4 };
  const mask = blockMask([...policy.maskMods(heads)], {
    ...geometry,
    queryBlock: 16,
    keyBlock: 16,
  });
  const kept = keptBlocks({ options, heads }).flat().flat();
  const { visited, full } = mask.density();
  assertEquals(visited, kept.length);
  assertEquals(full, kept.length - 4 * BLOCKS);
  // Merged rows: a tile of two blocks of rows visits what either keeps.
  const merged = blockMask([...policy.maskMods(heads)], {
    ...geometry,
    queryBlock: 32,
    keyBlock: 16,
  });
  const either = keptBlocks({ options, heads }).map((rows) =>
    rows.flatMap((columns, row) =>
      row % 2 === 1 ? [...new Set([...columns, ...rows[row - 1]])] : []
    ).length
  );
  assertEquals(merged.density().visited, either.reduce((a, b) => a + b));
});

Deno.test("plans of grouped heads visit the tiles in which a row sees a key", () => {
  const [length, block] = [512, 32];
  const heads = { queryHeads: 8, kvHeads: 2 };
  const options = { block, localBlocks: 2, stride: 3, denseHeads: 1 };
  const tensor = (heads: number) => ({
    dtype: "f32" as const,
    shape: [1, length, heads, 64],
  });
  const { explanation } = plannedProblem(
    attentionProblem({
      query: tensor(heads.queryHeads),
      key: tensor(heads.kvHeads),
      value: tensor(heads.kvHeads),
      select: s2(options),
    }),
    "fused",
    { splits: 1 },
  );
  const { tile } = explanation.kernels.forward;
  // Packed rows: the query heads of a key/value head share a tile.
  const queries = tile.rows / 4;
  const plain = s2MaskOptions(options, heads);
  let [visited, full] = [0, 0];
  for (let kvHead = 0; kvHead < heads.kvHeads; kvHead++) {
    for (let q = 0; q < length; q += queries) {
      const row = Math.floor(q / block);
      for (const k of s2Blocks(plain, { kvHead, row, blocks: BLOCKS + 2 })) {
        for (let key = k * block; key < (k + 1) * block; key += tile.keys) {
          if (key < q + queries) visited++;
          if (key + tile.keys <= q + 1) full++;
        }
      }
    }
  }
  assertEquals([visited, full], [
    explanation.tileCounts.visited,
    explanation.tileCounts.full,
  ]);
});

Deno.test("a report has a pattern's density, and the bytes of its heads", () => {
  const tensor = (tokens: number) => ({
    dtype: "f32" as const,
    shape: [1, tokens, 4, 64],
  });
  const policy = s2({ localBlocks: 4, stride: 5 });
  const report = (queries: number, keys: number, select = policy) =>
    policyReport(select, {
      query: tensor(queries),
      key: tensor(keys),
      value: tensor(keys),
      causal: true,
    });
  const prompt = report(640, 640);
  assertEquals(prompt.density, countDensity(5, 640));
  assertEquals([prompt.emptyRows, prompt.keyBytes], [0, prompt.denseKeyBytes]);
  // One more token: of each head its band, and a fifth of the blocks before.
  const { keyBytes, draw, pairs } = report(1, 641);
  assertEquals(keyBytes, pairs * 2 * 64 * 4);
  const one = s2Blocks(
    s2MaskOptions({ localBlocks: 4, stride: 5 }, {
      queryHeads: 4,
    }),
    { kvHead: 0, row: 10, blocks: 11 },
  );
  const [line] = draw({ tileQueries: 1, tileKeys: 64 }).text.split("\n");
  assertEquals(
    [...line].flatMap((character, k) => character === "·" ? [] : [k]),
    one,
  );
});

Deno.test("a stride of one is causal attention, tile by tile", () => {
  const geometry = { queries: 100, keys: 100, heads: 2, queryBlock: 8 };
  const one = blockMask(
    [
      ...s2({ block: 8, localBlocks: 1, stride: 1 }).maskMods({
        queryHeads: 2,
      }),
    ],
    geometry,
  );
  assertEquals(one.levels, blockMask(causal(), geometry).levels);
});

Deno.test("a mask is traced once for a number of heads", () => {
  const policy = s2({ localBlocks: 2, stride: 5 });
  const [mask] = policy.maskMods({ queryHeads: 4, kvHeads: 2 });
  assert(mask === policy.maskMods({ queryHeads: 4, kvHeads: 2 })[0]);
  assert(mask !== policy.maskMods({ queryHeads: 4, kvHeads: 4 })[0]);
  assert(mask !== policy.maskMods({ queryHeads: 2, kvHeads: 1 })[0]);
  // Of one step and as many sparse heads, but other groups.
  const near = s2({ localBlocks: 2, stride: 3 });
  const [grouped] = near.maskMods({ queryHeads: 4, kvHeads: 2 });
  assert(grouped !== near.maskMods({ queryHeads: 2, kvHeads: 2 })[0]);
});

Deno.test("what would leave a row without keys is refused", () => {
  const heads = { queryHeads: 2 };
  const policy = s2({ block: 4, localBlocks: 2, stride: 4 });
  const behind = (queryOffset: number, keyCount = 8) =>
    policy.select(shapeOf(heads, [
      ...square(5),
      { queryCount: 2, keyCount, queryOffset },
    ]));
  behind(6);
  // Two blocks of keys: rows of block 2 have the last one in their band.
  behind(10);
  assertThrows(
    () => behind(11),
    RangeError,
    "select (s2): queryOffset of sequence 1 must leave every row a key, but rows of block 3 have none of 8 keys in kv head 1",
  );
  // Three blocks: head 1 keeps block 2, as its step is two.
  behind(40, 9);
  assertThrows(() => behind(40, 8), RangeError, "kv head 1");
  // Nothing to see is not the policy's doing.
  behind(40, 0);
  const relative = s2({
    block: 4,
    localBlocks: 2,
    stride: 4,
    positions: "relative",
  });
  const far = (queryOffset: number, keyCount: number, queryCount = 4) =>
    relative.select(shapeOf(heads, [{ queryCount, keyCount, queryOffset }]));
  far(20, 4);
  assertThrows(() => far(16, 4), RangeError, "rows of block 4 have none");
  assertThrows(() => far(24, 4), RangeError, "rows of block 6 have none");
  assertThrows(() => far(20, 4, 5), RangeError, "rows of block 6 have none");
  far(24, 16);
  const both = s2({ block: 4, localBlocks: 1, stride: 2, causal: false });
  both.select(shapeOf(heads, [
    { queryCount: 3, keyCount: 9, queryOffset: 0 },
    { queryCount: 0, keyCount: 9, queryOffset: -1 },
  ]));
  assertThrows(
    () =>
      both.select(
        shapeOf(heads, [{ queryCount: 3, keyCount: 2, queryOffset: -1 }]),
      ),
    RangeError,
    "select (s2): queryOffset of sequence 0 must be >= 0",
  );
});

Deno.test("heads that leave blocks out are refused where asked", () => {
  const options = { localBlocks: 2, stride: 4, requireCoverage: true };
  const shape = shapeOf({ queryHeads: 8, kvHeads: 2 }, square(70));
  assertThrows(
    () => s2(options).select(shape),
    RangeError,
    "select (s2): requireCoverage must find every block kept by some head, and none of 8 heads over 2 kv heads keeps those of 2 residues modulo 4; give it more kv heads, a dense one or a smaller stride: current value is [1, 2]",
  );
  s2({ ...options, requireCoverage: false }).select(shape);
  s2({ ...options, denseHeads: 1 }).select(shape);
  s2(options).select(shapeOf({ queryHeads: 8, kvHeads: 4 }, square(70)));
});

Deno.test("wrong options are refused by name", () => {
  const good: S2Options = { localBlocks: 4, stride: 8 };
  const wrong = (more: Record<string, unknown>, message: string) => {
    assertThrows(() => s2({ ...good, ...more }), Error, message);
  };
  wrong({ block: 0 }, "block must be an integer in 1..");
  wrong({ stride: 0 }, "stride must be an integer in 1..32767");
  wrong({ stride: 32_768 }, "stride must be an integer in 1..32767");
  wrong({ localBlocks: 0 }, "localBlocks must be an integer in 1..");
  wrong({ localBlocks: undefined }, "localBlocks must be an integer");
  wrong(
    { localBlocks: { left: 1, right: 1 } },
    "localBlocks must be a number, as a causal pattern has blocks on one side",
  );
  wrong(
    { causal: false, localBlocks: { left: 1, right: 0 } },
    "localBlocks.right must be an integer in 1..",
  );
  wrong(
    { causal: false, localBlocks: { left: 0, right: 1 } },
    "localBlocks.left must be an integer in 1..",
  );
  wrong({ causal: 1 }, "causal must be a boolean");
  wrong({ requireCoverage: 1 }, "requireCoverage must be a boolean");
  wrong({ denseHeads: -1 }, "denseHeads must be an integer in 0..");
  wrong({ headStep: -1 }, "headStep must be an integer in 0..");
  wrong({ offset: 0.5 }, "offset must be an integer");
  wrong({ phase: "triton" }, 'phase must be "dkernel" or "vllm"');
  wrong({ positions: "both" }, 'positions must be "absolute" or "relative"');
  for (const name of ["headStep", "offset"]) {
    wrong(
      { positions: "relative", [name]: 1 },
      `${name} must not be given with positions "relative"`,
    );
  }
  wrong(
    { causal: false, phase: "vllm" },
    'phase must not be given with positions "relative"',
  );
  wrong({ vert_stride: 8 }, "write stride");
  wrong({ homo_head: true }, "write headStep: 0");
  wrong({ max_seqlen: 8 }, "s2() has no such option");
  assertThrows(
    () =>
      s2({ ...good, denseHeads: 3 }).maskMods({ queryHeads: 4, kvHeads: 2 }),
    RangeError,
    "select (s2): denseHeads must be an integer in 0..2: current value is 3",
  );
  assertThrows(
    () => s2(good).coverage({ queryHeads: 3, kvHeads: 2 }),
    TypeError,
    "queryHeads must be a multiple of kvHeads (2)",
  );
  const at = { kvHead: 0, row: 0, column: 0 };
  for (
    const more of [{ kvHead: 2 }, { kvHead: -1 }, { row: -1 }, { column: -1 }]
  ) {
    assertThrows(
      () => s2(good).keeps({ queryHeads: 2 }, { ...at, ...more }),
      RangeError,
    );
  }
});

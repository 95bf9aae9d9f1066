import { assert } from "@std/assert";
import { attention, attentionProblem } from "../../mod.ts";
import {
  blockDiffusion,
  byBatch,
  byHead,
  drawMask,
  imageCross,
  type MaskFunction,
  neighborhood,
  sharedPrefix,
  slidingTile,
  tileOrder,
} from "../../src/mods/mod.ts";
import { planAttention } from "../../src/ops/mod.ts";
import { neighborhoodMeaning } from "../mods/neighborhoods.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  assertNear,
  expectedOf,
  HEADS,
  packedOptions,
  sequencesOf,
  WIDTHS,
} from "./ragged_support.ts";

const TOKENS = 150;
const CANVAS = [12, 10];
const ORDER = tileOrder(CANVAS, [3, 4]);
const OPTIONS = {
  canvas: CANVAS,
  kernel: [4, 3],
  stride: [2, 1],
  dilation: [1, 2],
  causal: [false, true],
};
const DIMENSIONS = CANVAS.map((extent, i) => ({
  extent,
  kernel: OPTIONS.kernel[i],
  stride: OPTIONS.stride[i],
  dilation: OPTIONS.dilation[i],
  causal: OPTIONS.causal[i],
}));
const PREFIX_OF = [0, 0, 2, 2];
const BOUNDS = [0, 50, 80, 90, TOKENS];

const near = neighborhoodMeaning(DIMENSIONS, ORDER);
const documentAt = (at: number) => BOUNDS.findLastIndex((start) => start <= at);

const cross = (q: number, k: number) =>
  k < 90 && q >= 20 * Math.floor(k / 30) && q < 140;
const sharing = (q: number, k: number) => {
  const [own, seen] = [documentAt(q), documentAt(k)];
  return own === seen ? k <= q : PREFIX_OF[own] === seen;
};

const NEAR = neighborhood({ ...OPTIONS, order: ORDER });
const CROSS = imageCross({
  imageKeys: 30,
  intervals: [[0, 140], [20, 140], [40, 140]],
});

gpuTest(
  "attention() sees what masks of each sequence and head let it see",
  async (_, gpu) => {
    const sequences = sequencesOf([[TOKENS, TOKENS], [TOKENS, TOKENS]], 5);
    const { query, key, value } = packedOptions(sequences);
    const batched = ({ data, shape }: typeof query) => ({
      data,
      shape: [2, TOKENS, ...shape.slice(1)],
    });
    const maskMod = byBatch([
      // Few different ones, as a kernel has the code of all.
      byHead([NEAR, CROSS, CROSS, NEAR]),
      sharedPrefix({ cuSeqlens: BOUNDS, prefixOf: PREFIX_OF }),
    ]);
    const { output } = await attention(gpu, {
      query: batched(query),
      key: batched(key),
      value: batched(value),
      maskMod,
    });
    const meanings: MaskFunction[] = [
      (_, head, q, k) => head === 0 || head === 3 ? near(q, k) : cross(q, k),
      (_b, _h, q, k) => sharing(q, k),
    ];
    const width = TOKENS * WIDTHS.query;
    for (const [b, sequence] of sequences.entries()) {
      assertNear(
        output.data.subarray(b * width, (b + 1) * width),
        expectedOf(sequence, { mask: meanings[b] }),
        `sequence ${b}`,
      );
    }
  },
);

const MASKS = [
  NEAR,
  slidingTile({ canvas: CANVAS, tile: [3, 2], kernel: [9, 6], text: 10 }),
  blockDiffusion({ length: 75, block: 20 }),
  CROSS,
];

gpuTest("plans visit the tiles that each head's mask has", async (_, gpu) => {
  const tensor = (heads: number) => ({
    dtype: "f32" as const,
    shape: [1, TOKENS, heads, HEADS.headDim],
  });
  // A key head each, so that no two heads share a tile's rows.
  const shapes = { query: tensor(4), key: tensor(4), value: tensor(4) };
  using plan = await planAttention(gpu, { ...shapes, maskMod: byHead(MASKS) });
  const { tileCounts, dispatches } = plan.explain();
  const { tile } = dispatches[0];
  const problem = attentionProblem({ ...shapes, maskMod: byHead(MASKS) });
  const drawn = MASKS.map((_, head) =>
    drawMask(problem, {
      head,
      tileQueries: tile!.rows,
      tileKeys: tile!.keys,
    }).tiles
  );
  const visited = drawn.reduce((sum, { full, mixed }) => sum + full + mixed, 0);
  const full = drawn.reduce((sum, tiles) => sum + tiles.full, 0);
  assert(full > 0 && visited < tileCounts.total);
  assert(tileCounts.visited === visited, `${tileCounts.visited}, ${visited}`);
  assert(tileCounts.full === full, `${tileCounts.full}, ${full}`);
});

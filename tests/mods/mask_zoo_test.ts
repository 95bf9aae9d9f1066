import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { attentionProblem } from "../../mod.ts";
import {
  and,
  bindRows,
  blockDiffusion,
  blockwise,
  booleanMask,
  byBatch,
  byHead,
  causal,
  classifyMask,
  documentPrefixLm,
  documents,
  draftBlocks,
  drawMask,
  globalWindow,
  imageCross,
  maskFunction,
  type MaskMod,
  maskMod,
  mortonOrder,
  neighborhood,
  pickedRows,
  sharedPrefix,
  slidingTile,
  slidingWindow,
  spatialHead,
  temporalHead,
  tileOrder,
  withinBlocks,
  withinDocuments,
} from "../../src/mods/mod.ts";
import { property } from "../support/property.ts";
import { zooOfEach } from "./masks_arbitrary.ts";
import {
  type Dimension,
  neighborhoodMeaning,
  optionsOf,
  windowAt,
} from "./neighborhoods.ts";

const positions = fc.array(fc.integer({ min: -9, max: 130 }), {
  minLength: 8,
});

property(
  "masks mean what their definitions say, to their far ends",
  // A failure names its mask and place, so nothing need be made smaller.
  [fc.noShrink(zooOfEach), fc.noShrink(positions)],
  (cases, queries) => {
    for (const { mask, meaning } of cases) {
      const sees = maskFunction([mask]);
      for (const [i, q] of [-1, ...queries].entries()) {
        const [batch, head] = [i % 4, i % 3];
        for (let k = 0; k < 160; k++) {
          const found = sees(batch, head, q, k);
          if (found !== meaning(batch, head, q, k)) {
            assert(
              false,
              `${mask.name} at ${batch}, ${head}, ${q}, ${k}: ${found}`,
            );
          }
        }
      }
    }
  },
  { runs: 50 },
);

/** Tiles that are empty, full and mixed, in squares of so many tokens. */
function tiles(mask: MaskMod, keys: number, size = 16, head = 0): number[] {
  const options = { keys, head, tileQueries: size, tileKeys: size };
  const { empty, full, mixed } = drawMask(mask, options).tiles;
  return [empty, full, mixed];
}

Deno.test("masks skip the tiles that they should", () => {
  const bounds = [0, 16, 48, 64, 128];
  const first = Uint8Array.from({ length: 256 }, (_, i) => i < 16 ? 1 : 0);
  const local = slidingWindow({ left: 15, right: 0 });
  const counted: [MaskMod, number, number[]][] = [
    [documents(bounds), 128, [42, 22, 0]],
    [and(documents(bounds), causal()), 128, [49, 7, 8]],
    [withinDocuments(causal(), bounds), 128, [49, 7, 8]],
    [
      sharedPrefix({ cuSeqlens: [0, 32, 64, 96, 128], prefixOf: [0, 0, 0, 0] }),
      128,
      [40, 16, 8],
    ],
    [
      documentPrefixLm({ cuSeqlens: [0, 64, 128], prefixes: [32, 16] }),
      128,
      [43, 16, 5],
    ],
    [globalWindow({ window: 16, isGlobal: first }), 256, [182, 46, 28]],
    [blockDiffusion({ length: 64, block: 16 }), 128, [44, 20, 0]],
    [spatialHead({ prompt: 16, width: 17 }), 128, [30, 22, 12]],
    [temporalHead({ prompt: 16, frame: 64, width: 16 }), 272, [96, 97, 96]],
    [withinBlocks(causal(), 32), 128, [52, 4, 8]],
    [blockwise(causal(), 16), 128, [28, 36, 0]],
    [slidingTile({ canvas: [16, 16], kernel: 12, tile: 4 }), 256, [
      112,
      144,
      0,
    ]],
  ];
  for (const [mask, keys, expected] of counted) {
    assertEquals(tiles(mask, keys), expected, mask.name);
  }
  const heads = byHead([causal(), local]);
  assertEquals(tiles(heads, 128), [28, 28, 8]);
  assertEquals(tiles(heads, 128, 16, 1), [49, 0, 15]);
  const pairs = { tileQueries: 16, tileKeys: 16 };
  const intervals = [[0, 64], [16, 64], [64, 128]] as const;
  const cross = imageCross({ imageKeys: 32, intervals });
  assertEquals(
    drawMask(cross, { queries: 128, keys: 96, ...pairs }).tiles,
    { empty: 26, full: 22, mixed: 0 },
  );
  const drafts = draftBlocks({ prefix: 32, block: 16 });
  assertEquals(
    drawMask(drafts, { queries: 64, keys: 96, ...pairs }).tiles,
    { empty: 12, full: 8, mixed: 4 },
  );
});

Deno.test("neighborhood() visits fewer tiles where near tokens share one", () => {
  const image = { canvas: [64, 64], kernel: 13 };
  const video = { canvas: [16, 16, 16], kernel: 7 };
  const visited = (
    options: { canvas: number[]; kernel: number },
    order?: Int32Array,
  ) => {
    const [, full, mixed] = tiles(
      neighborhood({ ...options, order }),
      4096,
      64,
    );
    return full + mixed;
  };
  const rows = [image, video].map((options) => visited(options));
  const tiled = [
    visited(image, tileOrder(image.canvas, 8)),
    visited(video, tileOrder(video.canvas, 4)),
  ];
  const morton = [image, video].map((options) =>
    visited(options, mortonOrder(options.canvas))
  );
  assertEquals(rows, [832, 1120]);
  assertEquals(tiled, [484, 1000]);
  assertEquals(morton, tiled);
  // Windows that move by whole tiles need no mask at all.
  const blocked = { canvas: [64, 64], kernel: 16, stride: 16 };
  assertEquals(tiles(neighborhood(blocked), 4096, 64), [3072, 0, 1024]);
  const order = tileOrder(blocked.canvas, 8);
  const exact = neighborhood({ ...blocked, order });
  assertEquals(tiles(exact, 4096, 64), [3840, 256, 0]);
});

const size = fc.integer({ min: 1, max: 4 });
const axes = fc.array(
  fc.record({
    tile: size,
    tiles: fc.integer({ min: 1, max: 5 }),
    kernel: fc.nat(),
    stride: fc.nat(),
    causal: fc.boolean(),
  }),
  { minLength: 1, maxLength: 3 },
);

property(
  "neighborhood() is classified exactly where tiles are the canvas's",
  [axes, fc.nat(), fc.nat()],
  (drawn, someQueries, someKeys) => {
    const all = drawn.map(({ tile, tiles, kernel, stride, causal }) => {
      const extent = tile * tiles;
      const inside = 1 + kernel % extent;
      return {
        extent,
        kernel: inside,
        stride: 1 + stride % inside,
        dilation: 1,
        causal,
      } satisfies Dimension;
    });
    const { canvas } = optionsOf(all);
    const order = tileOrder(canvas, drawn.map(({ tile }) => tile));
    const meaning = neighborhoodMeaning(all, order);
    const inTile = drawn.reduce((count, { tile }) => count * tile, 1);
    const count = order.length / inTile;
    const range = (tile: number): [number, number] => [
      tile * inTile,
      (tile + 1) * inTile - 1,
    ];
    const [query, key] = [range(someQueries % count), range(someKeys % count)];
    let seen = 0;
    for (let q = query[0]; q <= query[1]; q++) {
      for (let k = key[0]; k <= key[1]; k++) if (meaning(q, k)) seen++;
    }
    assertEquals(
      classifyMask([neighborhood({ ...optionsOf(all), order })], {
        batch: [0, 0],
        head: [0, 0],
        query,
        key,
      }),
      seen === 0 ? "none" : seen === inTile ** 2 ? "all" : "some",
    );
  },
  { runs: 300 },
);

Deno.test("neighborhood() sees the same number of keys from everywhere", () => {
  const sees = maskFunction([
    neighborhood({ canvas: [7, 9], kernel: [4, 5] }),
  ]);
  for (let query = 0; query < 63; query++) {
    let seen = 0;
    for (let key = 0; key < 63; key++) if (sees(0, 0, query, key)) seen++;
    assertEquals(seen, 20);
  }
});

Deno.test("neighborhood() has the windows that NATTEN's pages show", () => {
  const base = { extent: 8, kernel: 3, stride: 1, dilation: 1, causal: false };
  const windows = (change: Partial<Dimension>) =>
    Array.from(
      { length: 8 },
      (_, at) => windowAt({ ...base, ...change }, at).join(""),
    ).join(" ");
  assertEquals(windows({}), "012 012 123 234 345 456 567 567");
  assertEquals(
    windows({ kernel: 4 }),
    "0123 0123 0123 1234 2345 3456 4567 4567",
  );
  assertEquals(windows({ causal: true }), "0 01 012 123 234 345 456 567");
  assertEquals(
    windows({ dilation: 2 }),
    "024 135 024 135 246 357 246 357",
  );
  assertEquals(
    windows({ kernel: 4, stride: 4 }),
    "0123 0123 0123 0123 4567 4567 4567 4567",
  );
});

Deno.test("slidingTile() leaves no tile to a mask", () => {
  const mask = slidingTile({
    canvas: [4, 8, 8],
    kernel: [2, 6, 6],
    tile: [1, 2, 2],
  });
  assertEquals(tiles(mask, 256, 4)[2], 0);
});

Deno.test("orders name each token once, tile by tile and along the curve", () => {
  assertEquals([...tileOrder([3, 5], 2)], [
    ...[0, 1, 5, 6, 2, 3, 7, 8, 4, 9],
    ...[10, 11, 12, 13, 14],
  ]);
  assertEquals([...tileOrder([2, 2, 2], [2, 1, 2])], [0, 1, 4, 5, 2, 3, 6, 7]);
  assertEquals([...mortonOrder([4, 4])], [
    ...[0, 1, 4, 5, 2, 3, 6, 7],
    ...[8, 9, 12, 13, 10, 11, 14, 15],
  ]);
  for (const order of [tileOrder([5, 7, 3], 2), mortonOrder([5, 7, 3])]) {
    assertEquals([...order].sort((a, b) => a - b), [...Array(105).keys()]);
  }
});

Deno.test("byBatch() and per-token masks are held against the problem", () => {
  const tensor = (batch: number, length: number) => ({
    dtype: "f32" as const,
    shape: [batch, length, 1, 4],
  });
  const problem = (maskMod: MaskMod, batch: number, length: number) =>
    attentionProblem({
      query: tensor(batch, length),
      key: tensor(batch, length),
      value: tensor(batch, length),
      maskMod,
    });
  const two = byBatch([causal(), slidingWindow({ left: 1 })]);
  problem(two, 2, 5);
  assertThrows(() => problem(two, 3, 5), TypeError, "batch must be 3 or 1");
  const packed = [
    documents([0, 2, 6]),
    withinDocuments(causal(), [0, 2, 6]),
    documentPrefixLm({ cuSeqlens: [0, 2, 6], prefixes: [1, 1] }),
    sharedPrefix({ cuSeqlens: [0, 2, 6], prefixOf: [0, 0] }),
    globalWindow({ window: 1, isGlobal: new Uint8Array(6) }),
  ];
  for (const mask of packed) {
    problem(mask, 1, 6);
    for (const length of [5, 7]) {
      assertThrows(
        () => problem(mask, 1, length),
        TypeError,
        `keys must be ${length} or 1, not 6`,
      );
    }
  }
  // A block's own mask is as large as the block, whatever the problem.
  const bits = booleanMask(Uint8Array.of(1, 0, 1, 1), [2, 2], {
    queryOffset: 0,
  });
  problem(withinBlocks(bits, 2), 1, 6);
});

Deno.test("remap() keeps what a mask captures for each sequence", () => {
  const each = byBatch([causal(), maskMod("none", ({ key }) => key.lt(0))]);
  const sees = maskFunction([withinBlocks(each, 4)]);
  assertEquals([sees(0, 0, 5, 4), sees(1, 0, 5, 4)], [true, false]);
  const tensor = { dtype: "f32" as const, shape: [3, 4, 1, 4] };
  assertThrows(
    () =>
      attentionProblem({
        query: tensor,
        key: tensor,
        value: tensor,
        maskMod: withinBlocks(each, 4),
      }),
    TypeError,
    "batch must be 3 or 1",
  );
});

Deno.test("pickedRows() puts each query where it is told", () => {
  const picked = { positions: [3, 0, 2], cuSeqlens: [0, 1, 3] };
  const places = [[3], [0, 2]];
  for (const inner of [causal(), slidingWindow({ left: 1, right: 1 })]) {
    const mask = pickedRows(inner, picked);
    assertEquals(mask.name, `pickedRows(${inner.name})`);
    const own = maskFunction([inner]);
    const sees = maskFunction(bindRows([mask], [7, -2]));
    for (const [batch, at] of places.entries()) {
      for (const [row, place] of at.entries()) {
        for (let key = 0; key < 5; key++) {
          assertEquals(
            sees(batch, 0, [7, -2][batch] + row, key),
            own(batch, 0, place, key),
          );
        }
      }
    }
  }
  // What is known of the keys stays so.
  const tensor = (length: number) => ({
    dtype: "f32" as const,
    shape: [2, length, 1, 4],
  });
  const problem = (keys: number) =>
    attentionProblem({
      query: tensor(2),
      key: tensor(keys),
      value: tensor(keys),
      maskMod: pickedRows(documents([0, 2, 6]), {
        positions: [1, 2, 3, 4],
        cuSeqlens: [0, 2, 4],
      }),
    });
  problem(6);
  assertThrows(() => problem(7), TypeError, "keys must be 7 or 1, not 6");
});

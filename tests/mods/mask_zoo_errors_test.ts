import { assert, assertThrows } from "@std/assert";
import {
  blockDiffusion,
  blockwise,
  booleanMask,
  byBatch,
  byHead,
  causal,
  documentPrefixLm,
  documents,
  draftBlocks,
  globalWindow,
  imageCross,
  type MaskMod,
  mortonOrder,
  neighborhood,
  pickedRows,
  remap,
  sharedPrefix,
  slidingTile,
  spatialHead,
  temporalHead,
  tileOrder,
  withinBlocks,
  withinDocuments,
} from "../../src/mods/mod.ts";

Deno.test("pickedRows() refuses bad parameters", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const picked = { positions: [3, 0], cuSeqlens: [0, 1, 2] };
  const cases: [() => unknown, typeof Error, string][] = [
    [() => pickedRows(wrong({}), picked), TypeError, "a mask or a score mod"],
    [
      () => pickedRows(bindless(), picked),
      TypeError,
      "must not read the query",
    ],
    [
      () => pickedRows(causal(), { ...picked, positions: wrong("3") }),
      TypeError,
      "positions must be an array of integers",
    ],
    [
      () => pickedRows(causal(), { ...picked, positions: [] }),
      RangeError,
      "positions.length",
    ],
    [
      () => pickedRows(causal(), { ...picked, positions: [0.5, 1] }),
      RangeError,
      "positions[0]",
    ],
    [
      () => pickedRows(causal(), { ...picked, cuSeqlens: [0, 1] }),
      RangeError,
      "cuSeqlens[1] must be an integer in 2..2",
    ],
    [
      () => pickedRows(causal(), { ...picked, cuSeqlens: [0, 3] }),
      RangeError,
      "cuSeqlens[1] must be an integer in 0..2",
    ],
    [
      () => pickedRows(causal(), { ...picked, cuSeqlens: [1, 2] }),
      RangeError,
      "cuSeqlens[0]",
    ],
    [() => pickedRows(causal(), wrong({ rows: [1] })), TypeError, "rows"],
  ];
  for (const [make, kind, message] of cases) {
    assertThrows(make, kind, message);
  }
});

Deno.test("masks of canvases, rows and masks refuse bad parameters", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const canvas = [4, 6];
  const row = bindless();
  const cases: [() => unknown, typeof Error, string][] = [
    [
      () => neighborhood({ canvas, kernel: 5 }),
      RangeError,
      "kernel[0] must be an integer in 1..4",
    ],
    [() => neighborhood({ canvas, kernel: 0 }), RangeError, "kernel[0]"],
    [() => neighborhood({ canvas, kernel: 1.5 }), RangeError, "kernel[0]"],
    [
      () => neighborhood({ canvas, kernel: wrong("3") }),
      TypeError,
      "kernel[0]",
    ],
    [
      () => neighborhood({ canvas, kernel: [3] }),
      TypeError,
      "kernel must be one for all dimensions",
    ],
    [
      () => neighborhood({ canvas, kernel: 3, dilation: 2 }),
      RangeError,
      "kernel[0] times dilation[0] (2) must be <= canvas[0] (4): current value is 3",
    ],
    [
      () => neighborhood({ canvas, kernel: 2, stride: 3 }),
      RangeError,
      "stride[0] must be an integer in 1..2",
    ],
    [
      () => neighborhood({ canvas, kernel: 2, dilation: 0 }),
      RangeError,
      "dilation[0]",
    ],
    [
      () => neighborhood({ canvas, kernel: 2, causal: wrong([1, 0]) }),
      TypeError,
      "causal[0] must be a boolean",
    ],
    [
      () => neighborhood({ canvas: [], kernel: 1 }),
      TypeError,
      "canvas must be one to three sizes",
    ],
    [
      () => neighborhood({ canvas: [1, 1, 1, 1], kernel: 1 }),
      TypeError,
      "canvas must be",
    ],
    [
      () => neighborhood({ canvas: wrong(16), kernel: 1 }),
      TypeError,
      "canvas must be",
    ],
    [
      () => neighborhood({ canvas: [4, 0], kernel: 1 }),
      RangeError,
      "canvas[1]",
    ],
    [
      () => neighborhood({ canvas: [2 ** 16, 2 ** 16], kernel: 1 }),
      RangeError,
      "fewer than 2^31 tokens",
    ],
    [
      () => neighborhood({ canvas, kernel: 3, order: new Int32Array(23) }),
      TypeError,
      "order must be an Int32Array of 24 tokens",
    ],
    [
      () => neighborhood({ canvas, kernel: 3, order: new Int32Array(24) }),
      RangeError,
      "order[1] must be another token",
    ],
    [
      () =>
        neighborhood({ canvas, kernel: 3, order: new Int32Array(24).fill(24) }),
      RangeError,
      "order[0]",
    ],
    [
      () => neighborhood(wrong({ canvas, kernelSize: 3 })),
      TypeError,
      "write kernel",
    ],
    [() => tileOrder(canvas, 0), RangeError, "tile[0]"],
    [() => tileOrder(canvas, [2]), TypeError, "tile must be one for all"],
    [() => mortonOrder([65536]), RangeError, "canvas[0]"],
    [
      () => slidingTile({ canvas, tile: 4, kernel: 4 }),
      RangeError,
      "canvas[1] must be a multiple of its tile (4): current value is 6",
    ],
    [
      () => slidingTile({ canvas, tile: 2, kernel: 3 }),
      RangeError,
      "kernel[0] must be a multiple of its tile (2)",
    ],
    [
      () => slidingTile({ canvas, tile: 2, kernel: 6 }),
      RangeError,
      "kernel[0] must be",
    ],
    [
      () => slidingTile({ canvas, tile: 2, kernel: 2, text: -1 }),
      RangeError,
      "text",
    ],
    [() => documents([0]), TypeError, "cuSeqlens must be where"],
    [() => documents([1, 2]), RangeError, "cuSeqlens[0]"],
    [
      () => documents([0, 3, 2]),
      RangeError,
      "cuSeqlens[2] must be an integer in 3..",
    ],
    [
      () => documents([0, 0]),
      RangeError,
      "cuSeqlens[1] must be an integer in 1..",
    ],
    [() => documents(wrong([0, "2"])), TypeError, "cuSeqlens[1]"],
    [
      () => documentPrefixLm({ cuSeqlens: [0, 2, 5], prefixes: [1] }),
      TypeError,
      "prefixes must be one for each of the 2 documents",
    ],
    [
      () => documentPrefixLm({ cuSeqlens: [0, 2, 5], prefixes: [3, 0] }),
      RangeError,
      "prefixes[0] must be an integer in 0..2",
    ],
    [
      () => sharedPrefix({ cuSeqlens: [0, 2, 5], prefixOf: [0, 2] }),
      RangeError,
      "prefixOf[1] must be an integer in 0..1",
    ],
    [
      () => sharedPrefix({ cuSeqlens: [0, 2, 5, 6], prefixOf: [0, 0, 1] }),
      RangeError,
      "prefixOf[2]'s own prefixOf must be an integer in 1..1",
    ],
    [
      () => globalWindow({ window: 1, isGlobal: wrong([1]) }),
      TypeError,
      "isGlobal must be a Uint8Array",
    ],
    [
      () => globalWindow({ window: -1, isGlobal: Uint8Array.of(1) }),
      RangeError,
      "window",
    ],
    [
      () => imageCross({ imageKeys: 2, intervals: [] }),
      RangeError,
      "images of intervals",
    ],
    [
      () => imageCross({ imageKeys: 2, intervals: [[3, 2]] }),
      RangeError,
      "intervals[0][1] must be an integer in 3..",
    ],
    [
      () => imageCross({ imageKeys: 2, intervals: wrong([1]) }),
      TypeError,
      "intervals must be an array of [start, end]",
    ],
    [
      () => imageCross({ imageKeys: 0, intervals: [[0, 1]] }),
      RangeError,
      "imageKeys",
    ],
    [() => blockDiffusion({ length: 0, block: 1 }), RangeError, "length"],
    [() => blockDiffusion({ length: 2, block: 0 }), RangeError, "block"],
    [() => draftBlocks({ prefix: -1, block: 1 }), RangeError, "prefix"],
    [() => draftBlocks({ prefix: 1, block: 0 }), RangeError, "block"],
    [() => spatialHead({ prompt: 1, width: -1 }), RangeError, "width"],
    [
      () => temporalHead({ prompt: 1, frame: 0, width: 1 }),
      RangeError,
      "frame",
    ],
    [() => byBatch([]), TypeError, "byBatch() must be given an array of masks"],
    [() => byHead([causal(), wrong(1)]), TypeError, "byHead[1] must be a mask"],
    [() => withinBlocks(causal(), 0), RangeError, "size"],
    [
      () => withinBlocks(wrong(causal), 2),
      TypeError,
      "withinBlocks() must be given a mask",
    ],
    [
      () => blockwise(wrong({}), 2),
      TypeError,
      "blockwise() must be given a mask",
    ],
    [
      () => blockwise(row, 2),
      TypeError,
      "mask booleanMask must not read the query's row",
    ],
    [() => withinDocuments(row, [0, 2]), TypeError, "give it queryOffset"],
    [
      () => remap(wrong(0), wrong(0)),
      TypeError,
      "remap() must be given a mask",
    ],
  ];
  for (const [make, kind, message] of cases) {
    assertThrows(make, kind, message);
  }
  assert(cases.length > 50);
});

/** A mask that goes by rows. */
function bindless(): MaskMod {
  return booleanMask(Uint8Array.of(1, 0, 1, 1), [2, 2]);
}

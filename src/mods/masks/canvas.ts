/**
 * A canvas of tokens, such as an image or a video: its sizes, and the orders
 * in which its tokens may stand in a sequence.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { capture } from "../captures/capture.ts";
import { type Int, int } from "../expression.ts";

const MAX = 2 ** 31 - 1;

/**
 * Sizes along a canvas, slowest first: `[height, width]`, for instance.
 *
 * @category Masks and scores
 */
export type CanvasSizes = readonly number[];

/** How many tokens. */
export function tokensOf(canvas: CanvasSizes): number {
  return canvas.reduce((product, size) => product * size, 1);
}

/**
 * Throws unless `canvas` has one to three dimensions of at least 1.
 *
 * @throws {TypeError} If it has another rank, or a size is no number.
 * @throws {RangeError} If a size is out of range.
 */
export function checkCanvas(name: string, canvas: CanvasSizes): void {
  checkType(
    Array.isArray(canvas) && canvas.length >= 1 && canvas.length <= 3,
    name,
    "must be one to three sizes, slowest first, as [height, width]",
    canvas,
  );
  canvas.forEach((size, i) => checkInteger(`${name}[${i}]`, size, 1, MAX));
  const tokens = tokensOf(canvas);
  checkRange(tokens <= MAX, name, "must have fewer than 2^31 tokens", canvas);
}

/**
 * One size for each dimension of a canvas, given as one for all or each.
 *
 * @throws {TypeError} If there are not as many as dimensions.
 */
export function sizesOf<Size extends number | boolean>(
  name: string,
  canvas: CanvasSizes,
  given: Size | readonly Size[],
): readonly Size[] {
  if (!Array.isArray(given)) return canvas.map(() => given as Size);
  checkType(
    given.length === canvas.length,
    name,
    `must be one for all dimensions, or one for each of the ${canvas.length}`,
    given,
  );
  return given as readonly Size[];
}

/**
 * Coordinates along each dimension of the token at a position.
 *
 * @category Masks and scores
 */
export type CoordinatesOf = (position: Int) => readonly Int[];

/**
 * How to compute coordinates: by dividing where tokens go row by row, else
 * from a table for each dimension.
 *
 * @throws {TypeError} If `order` is not an `Int32Array` with every token.
 * @throws {RangeError} If it does not have each once.
 */
export function coordinates(
  canvas: CanvasSizes,
  order: Int32Array | undefined,
): CoordinatesOf {
  if (order === undefined) {
    return (position) => rowMajor(canvas, position);
  }
  checkOrder(canvas, order);
  const places = Array.from(order, (index) => placeOf(canvas, index));
  const tables = canvas.map((_, axis) =>
    capture(Int32Array.from(places, (place) => place[axis]), {
      name: `order's coordinate ${axis}`,
    })
  );
  return (position) => tables.map((table) => table.at(position));
}

function rowMajor(canvas: CanvasSizes, position: Int): Int[] {
  const found: Int[] = [];
  let rest = position;
  for (let axis = canvas.length - 1; axis > 0; axis--) {
    const size = int(canvas[axis]);
    found.unshift(rest.rem(size));
    rest = rest.div(size);
  }
  return [rest, ...found];
}

function placeOf(canvas: CanvasSizes, index: number): number[] {
  const place: number[] = [];
  let rest = index;
  for (let axis = canvas.length - 1; axis >= 0; axis--) {
    place.unshift(rest % canvas[axis]);
    rest = Math.floor(rest / canvas[axis]);
  }
  return place;
}

function checkOrder(canvas: CanvasSizes, order: Int32Array): void {
  const tokens = tokensOf(canvas);
  checkType(
    order instanceof Int32Array && order.length === tokens,
    "order",
    `must be an Int32Array of ${tokens} tokens`,
    order,
  );
  const seen = new Uint8Array(tokens);
  for (const [position, token] of order.entries()) {
    checkInteger(`order[${position}]`, token, 0, tokens - 1);
    checkRange(
      seen[token] === 0,
      `order[${position}]`,
      "must be another token than those before it",
      token,
    );
    seen[token] = 1;
  }
}

/**
 * The order of a canvas's tokens tile by tile, row by row within each and of
 * the tiles: element `p` is the row-major index of the token that stands at
 * position `p`. Tokens that are near in the canvas then share a kernel's tile,
 * so that on canvases much wider than the window a {@linkcode neighborhood}
 * visits fewer tiles. Tiles at the far edges may be smaller.
 *
 * @param canvas Sizes, slowest first.
 * @param tile Sizes of a tile, or one for all dimensions.
 * @throws {TypeError} If `canvas` has no one to three sizes, or `tile` not as
 * many.
 * @throws {RangeError} If a size is not an integer >= 1.
 *
 * @example Two rows of four, in tiles of two by two
 * ```ts
 * import { tileOrder } from "@quire/attention/mods";
 *
 * console.log([...tileOrder([2, 4], 2)]); // [0, 1, 4, 5, 2, 3, 6, 7]
 * ```
 *
 * @category Masks and scores
 */
export function tileOrder(
  canvas: readonly number[],
  tile: number | readonly number[],
): Int32Array {
  checkCanvas("canvas", canvas);
  const tiles = sizesOf("tile", canvas, tile);
  tiles.forEach((size, i) => checkInteger(`tile[${i}]`, size, 1, MAX));
  return sortedTokens(canvas, (place) => [
    ...place.map((at, axis) => Math.floor(at / tiles[axis])),
    ...place,
  ]);
}

/**
 * The order of a canvas's tokens along a Morton (Z) curve, whose code takes
 * the bits of the coordinates in turn, the last dimension's lowest: element
 * `p` is the row-major index of the token at position `p`.
 *
 * @param canvas Sizes, slowest first, below 2^16.
 * @throws {TypeError} If `canvas` has no one to three sizes.
 * @throws {RangeError} If a size is not an integer in 1..65535.
 *
 * @example Two rows of four
 * ```ts
 * import { mortonOrder } from "@quire/attention/mods";
 *
 * console.log([...mortonOrder([2, 4])]); // [0, 1, 4, 5, 2, 3, 6, 7]
 * ```
 *
 * @category Masks and scores
 */
export function mortonOrder(canvas: readonly number[]): Int32Array {
  checkCanvas("canvas", canvas);
  canvas.forEach((size, i) => checkInteger(`canvas[${i}]`, size, 1, 65_535));
  return sortedTokens(canvas, (place) => {
    const bits: number[] = [];
    for (let bit = 15; bit >= 0; bit--) {
      for (const at of place) bits.push((at >> bit) & 1);
    }
    return bits;
  });
}

/** Row-major indices, ascending by what `keyOf` makes of their places. */
function sortedTokens(
  canvas: CanvasSizes,
  keyOf: (place: readonly number[]) => readonly number[],
): Int32Array {
  const keys = Array.from(
    { length: tokensOf(canvas) },
    (_, index) => keyOf(placeOf(canvas, index)),
  );
  return Int32Array.from(keys.keys()).sort((a, b) => {
    const differing = keys[a].findIndex((part, i) => part !== keys[b][i]);
    return differing < 0 ? 0 : keys[a][differing] - keys[b][differing];
  });
}

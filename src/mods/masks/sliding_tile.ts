/**
 * Sliding tile attention: neighbourhoods of whole tiles.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { Bool } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";
import { checkCanvas, sizesOf, tokensOf } from "./canvas.ts";
import { neighborhood } from "./neighborhood.ts";
import { blockwise } from "./remap.ts";

/**
 * A canvas, its tiles, and the window of {@linkcode slidingTile}.
 *
 * @category Masks and scores
 */
export interface SlidingTileOptions {
  /** The canvas's sizes, slowest first: `[time, height, width]`, ... */
  readonly canvas: readonly number[];
  /** Tokens of a tile along each dimension, or one number for all. */
  readonly tile: number | readonly number[];
  /** Tokens of the window along each dimension, a multiple of the tile. */
  readonly kernel: number | readonly number[];
  /** Tokens after the canvas that see all and are seen by all; 0 by default. */
  readonly text?: number;
}

/**
 * Sliding tile attention (Zhang et al. 2025): tokens stand tile by tile (see
 * {@linkcode tileOrder}), and a tile sees the window of tiles that
 * {@linkcode neighborhood} would give it. Every tile of a kernel that has as
 * many tokens is then empty or full.
 *
 * @throws {TypeError} If an option has another type or number of dimensions.
 * @throws {RangeError} If the canvas or the window is not made of whole tiles,
 * or the window exceeds the canvas.
 *
 * @example Six tiles of two tokens, three in a window, then two of text
 * ```ts
 * import { drawMask, slidingTile } from "@quire/attention/mods";
 *
 * const mask = slidingTile({ canvas: [12], tile: 2, kernel: 6, text: 2 });
 * const pairs = { keys: 14, tileQueries: 2, tileKeys: 2 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···█
 * // ███···█
 * // ·███··█
 * // ··███·█
 * // ···████
 * // ···████
 * // ███████
 * ```
 *
 * @category Masks and scores
 */
export function slidingTile(options: SlidingTileOptions): MaskMod {
  checkOptions("slidingTile()", options, {
    known: ["canvas", "tile", "kernel", "text"],
  });
  const { canvas, text = 0 } = options;
  checkCanvas("canvas", canvas);
  const tiles = sizesOf("tile", canvas, options.tile);
  const kernel = sizesOf("kernel", canvas, options.kernel);
  const tokens = tokensOf(canvas);
  checkInteger("text", text, 0, 2 ** 31 - 1 - tokens);
  for (const [axis, tile] of tiles.entries()) {
    checkInteger(`tile[${axis}]`, tile, 1, canvas[axis]);
    checkTiles(`canvas[${axis}]`, canvas[axis], tile);
    checkTiles(`kernel[${axis}]`, kernel[axis], tile);
  }
  const inTiles = (sizes: readonly number[]) =>
    sizes.map((size, axis) => size / tiles[axis]);
  const vision = blockwise(
    neighborhood({ canvas: inTiles(canvas), kernel: inTiles(kernel) }),
    tokensOf(tiles),
  );
  return maskMod("slidingTile", ({ query, key }) => {
    const near = new Bool(vision.expression);
    if (text === 0) return near;
    const known = query.ge(0).and(query.lt(tokens + text))
      .and(key.lt(tokens + text));
    return near.or(known.and(query.ge(tokens).or(key.ge(tokens))));
  });
}

function checkTiles(name: string, size: number, tile: number): void {
  checkInteger(name, size, 1, 2 ** 31 - 1);
  if (size % tile !== 0) {
    throw new RangeError(
      `${name} must be a multiple of its tile (${tile}): current value is ${size}`,
    );
  }
}

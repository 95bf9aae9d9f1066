/**
 * Masks as pictures: in the terminal, a character a tile, and as SVG.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOnHost } from "../captures/device_data.ts";
import { maskSvg, type MaskSvgParts } from "./mask_svg.ts";
import { bindRows } from "../rows.ts";
import { tileGrid, type TileGridOptions, type TileKind } from "./tile_grid.ts";
import type { MaskMod } from "../trace.ts";

export type { TileKind };

const MAX = 2 ** 31 - 1;

/** Tiles along a side where their size is not given, at most. */
const MOST_TILES = 64;

/** Tiles along a side at all, so that a picture stays one. */
const LIMIT = 4096;

const CHARACTERS: Readonly<Record<TileKind, string>> = {
  empty: "·",
  mixed: "▒",
  full: "█",
};

/**
 * What has masks: one call of attention, as `attentionProblem()` makes it.
 *
 * @category Tiles
 */
export interface MaskedProblem {
  /** All must hold. */
  readonly maskMods: readonly MaskMod[];
  /** The batch. */
  readonly sequences: readonly {
    /** Queries. */
    readonly queryCount: number;
    /** Keys. */
    readonly keyCount: number;
    /** Position of query 0 in the keys' coordinate. */
    readonly queryOffset: number;
  }[];
}

/**
 * Which part of a mask is drawn, and in what tiles.
 *
 * @category Tiles
 */
export interface DrawMaskOptions {
  /** Queries; by default those of the problem, else as many as keys. */
  readonly queries?: number;
  /** Keys; by default those of the problem, else 64. */
  readonly keys?: number;
  /**
   * Position of query 0 in the keys' coordinate; by default the problem's, else
   * keys - queries.
   */
  readonly queryOffset?: number;
  /** Index in the batch; 0 by default. */
  readonly batch?: number;
  /** Query head; 0 by default. */
  readonly head?: number;
  /**
   * Queries of a tile; by default 16, or the next powers of two where that makes
   * more than 64 tiles.
   */
  readonly tileQueries?: number;
  /** Keys of a tile; by default as `tileQueries`. */
  readonly tileKeys?: number;
  /** What the picture is called; by default the masks' names. */
  readonly title?: string;
}

/**
 * A drawn mask.
 *
 * @category Tiles
 */
export interface MaskPicture {
  /**
   * A line a row of tiles, a character a tile: `·` is empty and not computed,
   * `█` full and computed without the mask, `▒` mixed.
   */
  readonly text: string;
  /** The same as SVG; in mixed tiles the pairs that are seen, if large enough. */
  readonly svg: string;
  /** How many tiles there are of each kind. */
  readonly tiles: Readonly<Record<TileKind, number>>;
}

/**
 * Draws a mask: what the interval reading says of each tile, which is what the
 * kernels skip, compute without the mask, and compute with it.
 *
 * @param masked A mask, several that must all hold, or a problem.
 * @throws {TypeError} If `masked` is none of these.
 * @throws {RangeError} If an option is not an integer of its range.
 *
 * @example A window, causal, in tiles of 8 by 8
 * ```ts
 * import { causal, drawMask, slidingWindow } from "@quire/attention/mods";
 *
 * const masks = [causal(), slidingWindow({ left: 20 })];
 * const { text, tiles } = drawMask(masks, {
 *   keys: 64,
 *   tileQueries: 8,
 *   tileKeys: 8,
 * });
 * console.log(text);
 * // ▒·······
 * // █▒······
 * // ▒█▒·····
 * // ▒▒█▒····
 * // ·▒▒█▒··· and so on
 * console.log(tiles); // { empty: 38, full: 7, mixed: 19 }
 * ```
 *
 * @category Tiles
 */
export function drawMask(
  masked: MaskMod | readonly MaskMod[] | MaskedProblem,
  options: DrawMaskOptions = {},
): MaskPicture {
  const { masks, grid } = checked(masked, options);
  const names = masks.map(({ name }) => name).join(", ") || "no mask";
  const { title = names } = options;
  return pictureOf({ masks, grid, tiles: tileGrid(masks, grid), title });
}

/** The picture of tiles whose kinds are known. */
export function pictureOf(
  { masks, grid, tiles, title }: Omit<MaskSvgParts, "counts">,
): MaskPicture {
  const counts = { empty: 0, full: 0, mixed: 0 };
  for (const kind of tiles.flat()) counts[kind]++;
  return {
    text: tiles
      .map((row) => row.map((kind) => CHARACTERS[kind]).join("") + "\n")
      .join(""),
    get svg() {
      return maskSvg({ masks, grid, tiles, counts, title });
    },
    tiles: counts,
  };
}

/** Options with their defaults. */
function checked(
  masked: MaskMod | readonly MaskMod[] | MaskedProblem,
  options: DrawMaskOptions,
): { readonly masks: readonly MaskMod[]; readonly grid: TileGridOptions } {
  const problem = isProblem(masked) ? masked : undefined;
  const masks = problem?.maskMods ?? [masked as MaskMod].flat();
  masks.forEach((mask, i) =>
    checkType(
      mask?.kind === "mask",
      masks.length === 1 ? "masked" : `masked[${i}]`,
      "must be a MaskMod, MaskMods or a problem",
      mask,
    )
  );
  // Tiles would all be mixed, as far as is known, and be drawn as if they were.
  masks.forEach(({ expression }) => checkOnHost(expression));
  const { batch = 0, head = 0 } = options;
  const last = problem ? problem.sequences.length - 1 : MAX;
  checkInteger("batch", batch, 0, last);
  checkInteger("head", head, 0, MAX);
  const sequence = problem?.sequences[batch];
  const { keys = sequence?.keyCount ?? 64 } = options;
  const { queries = sequence?.queryCount ?? keys } = options;
  checkInteger("keys", keys, 1, MAX);
  checkInteger("queries", queries, 1, MAX);
  const { queryOffset = sequence?.queryOffset ?? keys - queries } = options;
  checkInteger("queryOffset", queryOffset, -MAX, MAX - queries);
  const { tileQueries = tileFor(Math.max(queries, keys)) } = options;
  const { tileKeys = tileQueries } = options;
  const least = (length: number) => Math.ceil(length / LIMIT);
  checkInteger("tileQueries", tileQueries, least(queries), MAX);
  checkInteger("tileKeys", tileKeys, least(keys), MAX);
  return {
    // Rows are the queries', wherever they stand.
    masks: bindRows(masks, [queryOffset]),
    grid: {
      batch,
      head,
      queries,
      keys,
      queryOffset,
      tileQueries,
      tileKeys,
    },
  };
}

function isProblem(masked: unknown): masked is MaskedProblem {
  return typeof masked === "object" && masked !== null && "maskMods" in masked;
}

function tileFor(length: number): number {
  return Math.max(16, 2 ** Math.ceil(Math.log2(length / MOST_TILES)));
}

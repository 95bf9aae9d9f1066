/**
 * FastAttention's tiling-mask: causal and window masks of any length from one
 * triangle of constant size, of which every tile takes a slice.
 *
 * @module
 */

import { checkInteger, checkRange } from "../core/check.ts";

/**
 * Where a tile's slice of the triangle begins.
 *
 * @category Planning
 */
export interface MaskSlice {
  /** First row of the triangle. */
  readonly row: number;
  /** First column. */
  readonly column: number;
}

/**
 * A causal mask, or a window about the diagonal.
 *
 * @category Planning
 */
export interface BandOptions {
  /**
   * Position of query 0 in the keys' coordinate; default 0. Bottom-right causal
   * is keys - queries.
   */
  readonly queryOffset?: number;
  /** Keys seen before a query's own position, at most; default all. */
  readonly left?: number;
  /** Keys seen after it; default 0, which is causal. */
  readonly right?: number;
}

/**
 * One (2B x 2B) lower triangle, B the larger side of a tile. The mask of tile
 * (I, J) of a causal mask is the part of it that begins at row max(D, 0) and
 * column max(-D, 0), with D = I Br - J Bc clamped to -B..B: so a mask of any
 * length takes `4 B^2` elements instead of N S. A window is the difference of
 * two slices.
 *
 * The kernels here keep no mask at all (masks are expressions); this is the
 * scheme for devices that must read one.
 *
 * @example A mask for 65,536 tokens: 8 GiB in float16, or 32 KiB
 * ```ts
 * import { TilingMask } from "@quire/attention/planning";
 *
 * const mask = new TilingMask({ rows: 64, keys: 32 });
 * console.log(2 * 65536 ** 2 / 2 ** 30, 2 * mask.elements / 2 ** 10); // 8 32
 * // Query 70 of row tile 1 is row 6 there; key 69 of key tile 2 is column 5.
 * console.log(mask.sees({ rowTile: 1, keyTile: 2, row: 6, column: 5 })); // true
 * ```
 *
 * @category Planning
 */
export class TilingMask {
  /** B: the larger side of a tile. */
  readonly side: number;
  readonly #rows: number;
  readonly #keys: number;
  readonly #triangle: Uint8Array;

  /**
   * The triangle for tiles of `rows x keys`.
   *
   * @throws {TypeError} if a size is no number
   * @throws {RangeError} if one is no integer >= 1
   */
  constructor(
    { rows, keys }: { readonly rows: number; readonly keys: number },
  ) {
    checkInteger("rows", rows, 1);
    checkInteger("keys", keys, 1);
    this.#rows = rows;
    this.#keys = keys;
    this.side = Math.max(rows, keys);
    const width = 2 * this.side;
    this.#triangle = Uint8Array.from(
      { length: width * width },
      (_, n) => n % width <= Math.floor(n / width) ? 1 : 0,
    );
  }

  /** Elements of the triangle, `4 B^2`, whatever the lengths. */
  get elements(): number {
    return this.#triangle.length;
  }

  /** Where the slice of a tile begins, for a diagonal moved `shift` keys on. */
  slice(rowTile: number, keyTile: number, shift: number = 0): MaskSlice {
    checkInteger("rowTile", rowTile, 0);
    checkInteger("keyTile", keyTile, 0);
    checkInteger("shift", shift, Number.MIN_SAFE_INTEGER);
    const distance = rowTile * this.#rows - keyTile * this.#keys + shift;
    const delta = Math.max(-this.side, Math.min(distance, this.side));
    return { row: Math.max(delta, 0), column: Math.max(-delta, 0) };
  }

  /** Whether a row of a tile sees a key of it, read from the triangle. */
  sees(
    { rowTile, keyTile, row, column }: {
      readonly rowTile: number;
      readonly keyTile: number;
      readonly row: number;
      readonly column: number;
    },
    band: BandOptions = {},
  ): boolean {
    checkInteger("row", row, 0, this.#rows - 1);
    checkInteger("column", column, 0, this.#keys - 1);
    const { queryOffset = 0, left, right = 0 } = band;
    if (left !== undefined) checkInteger("left", left, 0);
    checkInteger("right", right, 0);
    const at = (shift: number) => {
      const slice = this.slice(rowTile, keyTile, shift);
      const width = 2 * this.side;
      return this.#triangle[
        (slice.row + row) * width + slice.column + column
      ] === 1;
    };
    return at(queryOffset + right) &&
      (left === undefined || !at(queryOffset - left - 1));
  }

  /**
   * What is known of a tile without looking at its elements: no row sees a key,
   * all do, or the diagonal of the band goes through it.
   *
   * @throws {RangeError} if a number is out of range
   */
  classify(
    rowTile: number,
    keyTile: number,
    { queryOffset = 0, left, right = 0 }: BandOptions = {},
  ): "empty" | "full" | "diagonal" {
    checkRange(
      left === undefined || left >= 0,
      "left",
      "must be >= 0",
      left,
    );
    const edge = (shift: number) =>
      this.#edge(this.slice(rowTile, keyTile, shift));
    const seen = edge(queryOffset + right);
    const before = left === undefined ? "empty" : edge(queryOffset - left - 1);
    if (seen === "empty" || before === "full") return "empty";
    return seen === "full" && before === "empty" ? "full" : "diagonal";
  }

  /** Of a slice, by two of its corners: its first row's last, its last's first. */
  #edge({ row, column }: MaskSlice): "empty" | "full" | "diagonal" {
    if (column + this.#keys - 1 <= row) return "full";
    return column > row + this.#rows - 1 ? "empty" : "diagonal";
  }
}

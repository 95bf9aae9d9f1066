/**
 * A causal triangle of blocks as a rectangle, so that equal parts of its rows
 * are equal work.
 *
 * @module
 */

import { checkInteger } from "../core/check.ts";

/**
 * A block of a triangle: `column <= row`.
 *
 * @category Planning
 */
export interface TriangleBlock {
  /** Row of blocks: queries. */
  readonly row: number;
  /** Column of blocks: keys. */
  readonly column: number;
}

/**
 * A place in the rectangle.
 *
 * @category Planning
 */
export interface FoldedBlock {
  /** Row of the rectangle. */
  readonly pair: number;
  /** Where in that row. */
  readonly slot: number;
}

/**
 * The triangle of `T` rows of blocks, row `I` of which has `I + 1`, folded in the
 * middle: a short row beside a long one. Row `I` goes with row `T - 1 - I` where
 * `T` is even, which makes `T / 2` pairs of `T + 1` blocks; where it is odd, with
 * row `T - 2 - I`, and the last row alone: `(T + 1) / 2` of `T` blocks. Whoever
 * gets as many pairs as others has as many blocks.
 *
 * The kernels here do not need it, as `splits: "stream-k"` is even for any mask;
 * it is for schedules that a grid decides alone.
 *
 * @example Four rows of blocks on two workers
 * ```ts
 * import { TriangleFold } from "@quire/attention/planning";
 *
 * const fold = new TriangleFold(4);
 * console.log(fold.pairs, fold.width); // 2 5
 * for (let slot = 0; slot < fold.width; slot++) {
 *   console.log(fold.block({ pair: 0, slot })); // row 0, then row 3
 * }
 * ```
 *
 * @category Planning
 */
export class TriangleFold {
  /** Rows of the triangle. */
  readonly rows: number;
  /** Rows of the rectangle. */
  readonly pairs: number;
  /** Blocks of each. */
  readonly width: number;
  /** Pairs before the one with row 0: that of the last row alone. */
  readonly #alone: number;

  /**
   * The fold of a triangle.
   *
   * @throws {TypeError} if the number of rows is no number
   * @throws {RangeError} if it is no integer >= 1
   */
  constructor(rows: number) {
    checkInteger("rows", rows, 1, 2 ** 31 - 1);
    this.rows = rows;
    this.#alone = rows % 2;
    this.pairs = (rows + this.#alone) / 2;
    this.width = rows + 1 - this.#alone;
  }

  /**
   * The block at a place of the rectangle: every block is at one.
   *
   * @throws {RangeError} if there is no such place
   */
  block({ pair, slot }: FoldedBlock): TriangleBlock {
    checkInteger("pair", pair, 0, this.pairs - 1);
    checkInteger("slot", slot, 0, this.width - 1);
    const short = pair - this.#alone;
    return slot <= short
      ? { row: short, column: slot }
      : { row: this.rows - 1 - pair, column: slot - short - 1 };
  }

  /**
   * Where a block is.
   *
   * @throws {RangeError} if there is no such block
   */
  place({ row, column }: TriangleBlock): FoldedBlock {
    checkInteger("row", row, 0, this.rows - 1);
    checkInteger("column", column, 0, row);
    const long = this.rows - 1 - row;
    return row + this.#alone < this.pairs
      ? { pair: row + this.#alone, slot: column }
      : { pair: long, slot: long - this.#alone + 1 + column };
  }
}

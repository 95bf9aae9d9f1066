/**
 * Cosines and sines for rotary position embedding.
 *
 * @module
 */

import { checkFinite, checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions, type OptionHints } from "../../core/options.ts";

/**
 * What {@linkcode rotaryTable} makes.
 *
 * @category Attention
 */
export interface RotaryTableOptions {
  /** Rows: positions 0 to this, exclusive. */
  readonly positions: number;
  /** Rotated elements of a row, an even number; the head dim or less. */
  readonly dim: number;
  /** Base of the geometric series of frequencies; 10000 by default. */
  readonly base?: number;
  /**
   * Positions are divided by this; 1 by default. Linear position interpolation
   * (Chen et al. 2023): a model of so many times fewer positions sees none that
   * it has not seen, but those between.
   */
  readonly factor?: number;
}

/** What others call the numbers of a table. */
export const TABLE_HINTS: OptionHints = {
  theta: "write base",
  ropeTheta: "write base",
  ropeScaling: "write factor, for linear scaling",
};

/**
 * The turns of rotary position embedding (Su et al. 2021):
 * `angle = position / factor * base^(-2 t / dim)` for pair t, worked out in
 * float64.
 *
 * @returns `[positions, dim / 2, 2]`: cosine and sine of each angle
 * @throws {TypeError} if an option is unknown or not a number
 * @throws {RangeError} if one is out of range, or `dim` is odd
 *
 * @example
 * ```ts
 * import { rotaryTable } from "@quire/attention";
 *
 * const table = rotaryTable({ positions: 2, dim: 2 });
 * console.log(table); // 1 0, then cos 1 and sin 1
 * ```
 *
 * @category Attention
 */
export function rotaryTable(options: RotaryTableOptions): Float32Array {
  checkOptions("rotaryTable()", options, {
    known: ["positions", "dim", "base", "factor"],
    hints: { ...TABLE_HINTS, headDim: "write dim" },
  });
  const { positions, dim, base = 10000, factor = 1 } = options;
  checkInteger("positions", positions, 0, 2 ** 31);
  checkInteger("dim", dim, 2, 256);
  checkRange(dim % 2 === 0, "dim", "must be even", dim);
  checkFinite("base", base);
  checkRange(base > 0, "base", "must be > 0", base);
  checkFinite("factor", factor);
  checkRange(factor > 0, "factor", "must be > 0", factor);
  const pairs = dim / 2;
  const table = new Float32Array(positions * dim);
  for (let position = 0; position < positions; position++) {
    for (let t = 0; t < pairs; t++) {
      const angle = position / factor * base ** (-2 * t / dim);
      const at = 2 * (position * pairs + t);
      table[at] = Math.cos(angle);
      table[at + 1] = Math.sin(angle);
    }
  }
  return table;
}

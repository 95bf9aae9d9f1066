/**
 * Products of tiles, in float32. What weighs 0 adds nothing, whatever it weighs.
 *
 * @module
 */

import { dotFma, fmaF32 } from "../fma.ts";
import type { FastTile } from "./slow_memory.ts";

/**
 * Adds `left right^T`.
 *
 * @returns The multiplications and additions.
 */
export function addDots(
  sum: FastTile,
  left: FastTile,
  right: FastTile,
): number {
  const dim = left.columns;
  for (let r = 0; r < left.rows; r++) {
    for (let j = 0; j < right.rows; j++) {
      const product = dotFma(left.data, r * dim, right.data, j * dim, dim);
      const at = r * right.rows + j;
      sum.data[at] = Math.fround(sum.data[at] + product);
    }
  }
  return 2 * left.rows * right.rows * dim;
}

/**
 * Adds `left^T right`.
 *
 * @returns The multiplications and additions.
 */
export function addTransposed(
  sum: FastTile,
  left: FastTile,
  right: FastTile,
): number {
  for (let j = 0; j < sum.rows; j++) {
    for (let c = 0; c < sum.columns; c++) {
      let total = sum.data[j * sum.columns + c];
      for (let r = 0; r < left.rows; r++) {
        const p = left.data[r * left.columns + j];
        if (p === 0) continue;
        total = fmaF32(p, right.data[r * right.columns + c], total);
      }
      sum.data[j * sum.columns + c] = total;
    }
  }
  return 2 * sum.rows * sum.columns * left.rows;
}

/**
 * Adds `left right`, with nothing added where a weight is 0.
 *
 * @returns The multiplications and additions.
 */
export function addProduct(
  sum: FastTile,
  left: FastTile,
  right: FastTile,
): number {
  for (let r = 0; r < sum.rows; r++) {
    for (let c = 0; c < sum.columns; c++) {
      let total = sum.data[r * sum.columns + c];
      for (let j = 0; j < right.rows; j++) {
        const p = left.data[r * left.columns + j];
        if (p === 0) continue;
        total = fmaF32(p, right.data[j * right.columns + c], total);
      }
      sum.data[r * sum.columns + c] = total;
    }
  }
  return 2 * sum.rows * sum.columns * right.rows;
}

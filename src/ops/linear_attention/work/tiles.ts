/**
 * Tiles of linear attention's products, by the kind of device.
 *
 * @module
 */

import type { ProductTile } from "../../../../kernels/product.ts";

/**
 * Where shaders run on the CPU: lanes read the right operand alike, which costs
 * one load instead of one a lane. Measured on llvmpipe, 2048 tokens of 4 heads
 * of 64: two quads of columns a lane take three quarters of the time of one, and
 * four save little more and compile four times as long.
 */
export const SOFTWARE_TILE: ProductTile = {
  rowLanes: 8,
  columnLanes: 1,
  columnQuads: 2,
};

/** Neighbouring lanes read neighbouring columns, and share rows. */
export const HARDWARE_TILE: ProductTile = {
  rowLanes: 8,
  columnLanes: 8,
  columnQuads: 2,
};

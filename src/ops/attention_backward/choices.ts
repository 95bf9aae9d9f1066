/**
 * How to run backward: what a caller may choose.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import {
  type BackwardTileOptions,
  type BackwardTiles,
  backwardTilesOf,
} from "./tiles.ts";

/**
 * How to run backward.
 *
 * @category Attention
 */
export interface BackwardChoices {
  /**
   * Among how many workgroups the keys of a row tile are divided, and the query
   * rows of a key tile, whose partial sums are then added up in order; 1 by
   * default. More keep a large device busy where sequences are few.
   */
  readonly splits?: number | undefined;
  /** Sizes to use instead of the device's: for tuning. */
  readonly tiles?: BackwardTileOptions | undefined;
}

/** Choices with their defaults. */
export interface CheckedBackwardChoices {
  /** Parts of the loops. */
  readonly splits: number;
  /** The sizes of kernels. */
  readonly tiles: BackwardTiles;
}

/**
 * Checks choices and fills in the defaults for a device.
 *
 * @throws {TypeError} for wrong types
 * @throws {RangeError} for values out of range
 */
export function checkBackwardChoices(
  { splits = 1, tiles }: BackwardChoices,
  device: { readonly software: boolean },
): CheckedBackwardChoices {
  checkInteger("splits", splits, 1, 65535);
  return { splits, tiles: backwardTilesOf(device, tiles) };
}

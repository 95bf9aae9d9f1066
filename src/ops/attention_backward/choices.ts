/**
 * How to run backward: what a caller may choose.
 *
 * @module
 */

import { checkInteger, checkOneOf } from "../../core/check.ts";
import {
  type BackwardTileOptions,
  type BackwardTiles,
  backwardTilesOf,
} from "./tiles.ts";

/**
 * How backward comes by the gradients of scores.
 *
 * @category Gradients
 */
export type ScoreGradients = "auto" | "stored" | "recomputed";

const SCORE_GRADIENTS = ["auto", "stored", "recomputed"] as const;

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
  /**
   * Whether the gradients of scores are made twice, for dQ and for dK and dV, or
   * made once and stored, some keys at a time: five products instead of seven,
   * for scratch that grows with tokens. By default, `"auto"`, what is faster on
   * the device and fits it.
   */
  readonly scoreGradients?: ScoreGradients | undefined;
  /** Sizes to use instead of the device's: for tuning. */
  readonly tiles?: BackwardTileOptions | undefined;
}

/** Choices with their defaults. */
export interface CheckedBackwardChoices {
  /** Parts of the loops. */
  readonly splits: number;
  /** How often gradients of scores are made. */
  readonly scoreGradients: ScoreGradients;
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
  { splits = 1, scoreGradients = "auto", tiles }: BackwardChoices,
  device: { readonly software: boolean },
): CheckedBackwardChoices {
  checkInteger("splits", splits, 1, 65535);
  checkOneOf("scoreGradients", scoreGradients, SCORE_GRADIENTS);
  return { splits, scoreGradients, tiles: backwardTilesOf(device, tiles) };
}

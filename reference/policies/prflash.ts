/**
 * Which blocks are drawn by how far behind they lie, one pair at a time, and the
 * sums over keys that the draw is right for in the mean.
 *
 * @module
 */

import { dropoutBits, takeIn } from "../../src/core/dropout.ts";
import type { MaskFunction, ScoreFunction } from "../problem.ts";

/**
 * A draw of blocks.
 *
 * @category Reference
 */
export interface BlockDraw {
  /** The probability of keeping a block, by its distance. */
  readonly probability: (distance: number) => number;
  /** Queries, and keys, of a block. */
  readonly block: number;
  /** Below 2^53. */
  readonly seed: number;
  /** Which draw of the seed. */
  readonly round: number;
  /** Query heads of a kv head. */
  readonly group: number;
}

/**
 * Whether block `column` is kept of row `row` of blocks.
 *
 * @example A block that is kept for certain
 * ```ts
 * import { blockIsDrawn } from "@quire/attention/reference";
 *
 * const draw = {
 *   probability: (distance: number) => 0.5 ** distance,
 *   block: 64,
 *   seed: 1,
 *   round: 0,
 *   group: 1,
 * };
 * const at = { batch: 0, head: 0, row: 3, column: 3 };
 * console.log(blockIsDrawn(draw, at)); // true
 * ```
 *
 * @category Reference
 */
export function blockIsDrawn(
  { probability, seed, round, group }: BlockDraw,
  { batch, head, row, column }: {
    readonly batch: number;
    readonly head: number;
    readonly row: number;
    readonly column: number;
  },
): boolean {
  if (column > row) return false;
  const [seedLow, seedHigh] = takeIn(
    [seed % 2 ** 32, Math.floor(seed / 2 ** 32)],
    round,
  );
  const bits = dropoutBits({
    seedLow: seedLow >>> 0,
    seedHigh: seedHigh >>> 0,
  });
  const kvHead = Math.floor(head / group);
  // Uniform in [0, 1), of 31 bits.
  const drawn = Math.floor(bits(batch, kvHead, row, column) / 2) / 2 ** 31;
  return drawn < probability(row - column);
}

/**
 * A draw as a mask: causal, and of the blocks that are kept.
 *
 * @example
 * ```ts
 * import { drawnBlocks } from "@quire/attention/reference";
 *
 * const sees = drawnBlocks({
 *   probability: (distance) => 0.5 ** distance,
 *   block: 64,
 *   seed: 1,
 *   round: 0,
 *   group: 1,
 * });
 * console.log(sees(0, 0, 70, 65), sees(0, 0, 70, 71)); // true false
 * ```
 *
 * @category Reference
 */
export function drawnBlocks(draw: BlockDraw): MaskFunction {
  const blockOf = (position: number) => Math.floor(position / draw.block);
  return (batch, head, query, key) =>
    key <= query &&
    blockIsDrawn(draw, {
      batch,
      head,
      row: blockOf(query),
      column: blockOf(key),
    });
}

/**
 * Scores less the logarithm of the chance that their blocks had (Horvitz and
 * Thompson 1952): `exp` of them, over what is kept, sums up to the sum over all
 * keys in the mean.
 *
 * @example What was kept by half a chance counts twice
 * ```ts
 * import { inverselyWeighted } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const score = inverselyWeighted({
 *   probability: (distance) => 0.5 ** distance,
 *   block: 64,
 *   seed: 1,
 *   round: 0,
 *   group: 1,
 * });
 * assertAlmostEquals(Math.exp(score(0, 0, 0, 64, 0)), 2);
 * ```
 *
 * @category Reference
 */
export function inverselyWeighted(draw: BlockDraw): ScoreFunction {
  const blockOf = (position: number) => Math.floor(position / draw.block);
  return (score, _batch, _head, query, key) =>
    score -
    Math.log(draw.probability(Math.max(0, blockOf(query) - blockOf(key))));
}

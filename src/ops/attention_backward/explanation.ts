/**
 * What a backward plan says of itself.
 *
 * @module
 */

import type { ExplainedDispatch } from "../attention/explanation.ts";
import type { TileSize } from "../attention/variants/algorithm.ts";
import type { TileCounts } from "../attention/work/key_runs.ts";

/**
 * One of the two kernels of backward.
 *
 * @category Gradients
 */
export interface ExplainedBackwardKernel {
  /** Query rows and keys of its tile. */
  readonly tile: TileSize;
  /** How its loop is divided among workgroups. */
  readonly splits: string;
  /** Tiles visited, full and in total. */
  readonly tileCounts: TileCounts;
}

/**
 * What a backward plan will run.
 *
 * @category Attention
 */
export interface BackwardExplanation {
  /** Dispatches in order. */
  readonly dispatches: readonly ExplainedDispatch[];
  /** Its kernels: of dQ, and of dK and dV. */
  readonly kernels: {
    readonly query: ExplainedBackwardKernel;
    readonly keyValue: ExplainedBackwardKernel;
  };
  /** Bytes of scratch that the plan uses. */
  readonly scratchBytes: number;
}

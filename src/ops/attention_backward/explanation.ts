/**
 * What a backward plan says of itself.
 *
 * @module
 */

import type { ExplainedDispatch } from "../attention/explanation.ts";
import type { TileSize } from "../attention/variants/algorithm.ts";
import type { PassedOver } from "../attention/variants/variant.ts";
import type { ExplainedBackwardTraffic } from "./traffic.ts";
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
  /**
   * Whether gradients of scores are made once and stored, or made again for each
   * of the two kernels.
   */
  readonly scoreGradients: "stored" | "recomputed";
  /** Why they are not stored, where they are not. */
  readonly passedOver?: PassedOver;
  /** In how many parts of the keys they are stored; 1 where they are not. */
  readonly rounds: number;
  /** Its kernels: of dQ, and of dK and dV. */
  readonly kernels: {
    readonly query: ExplainedBackwardKernel;
    readonly keyValue: ExplainedBackwardKernel;
  };
  /** Bytes of scratch that the plan uses. */
  readonly scratchBytes: number;
  /** What it will move. */
  readonly traffic: ExplainedBackwardTraffic;
}

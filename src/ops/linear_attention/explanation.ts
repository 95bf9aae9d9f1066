/**
 * What a plan of linear attention says of itself.
 *
 * @module
 */

import type { Grid } from "../../gpu/mod.ts";

/**
 * One dispatch of a plan of linear attention.
 *
 * @category Plans
 */
export interface ExplainedLinearDispatch {
  /** The kernel's label. */
  readonly kernel: string;
  /** Workgroups. */
  readonly grid: Grid;
  /** What it does. */
  readonly does: string;
}

/**
 * What a plan of linear attention will run, and why.
 *
 * @category Plans
 */
export interface LinearExplanation {
  /** Dispatches in order. */
  readonly dispatches: readonly ExplainedLinearDispatch[];
  /** Rows and columns of a workgroup's tile in products. */
  readonly tile: { readonly rows: number; readonly columns: number };
  /** How many chunks there are, and the tokens of one. */
  readonly chunks: { readonly count: number; readonly tokens: number };
  /**
   * Parts that chunks are worked on in, one after the other: more than one where
   * scratch for all would not fit a binding.
   */
  readonly segments: number;
  /**
   * How states go from chunk to chunk: one after the other, or where a sequence
   * has more than 128 chunks, in blocks of 32 side by side.
   */
  readonly scan: "sequential" | "blocks";
  /** Bytes of scratch that the plan uses. */
  readonly scratchBytes: number;
}

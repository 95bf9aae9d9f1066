/**
 * Keys and values as options give them.
 *
 * @module
 */

import type { AttentionProblem, SequenceShape } from "../problem.ts";

/** Where keys and values are, and what their shapes say. */
export interface KeyInputs
  extends
    Pick<AttentionProblem, "keys" | "kvHeads" | "headDim" | "valueHeadDim"> {
  /** Of each sequence. */
  readonly spans: readonly Pick<SequenceShape, "keyStart" | "keyCount">[];
  /** Where rows lie that do not lie side by side. */
  readonly strides?:
    | Pick<NonNullable<AttentionProblem["strides"]>, "key" | "value">
    | undefined;
}

/**
 * Attention as an operation: options in, result out, with a plan in between
 * for those who want to record it themselves.
 *
 * @module
 */

export * from "./attention/attention.ts";
export * from "./rotary_table.ts";
export type { PlanChoices } from "./attention/options/choices.ts";
export type { PartitionCost } from "./attention/work/cost.ts";
export type { AnyTensor, HostTensor, TensorShape } from "./tensors.ts";
export type { TileCounts } from "./attention/work/key_runs.ts";
export * from "./attention/lse.ts";
export * from "./attention/merge_attention.ts";
export * from "./attention/options/options.ts";
export {
  AttentionPlan,
  type AttentionTensors,
  type PassDescriptor,
} from "./attention/plan.ts";
export type {
  AttentionExplanation,
  ExplainedDispatch,
  ExplainedKernel,
  SharedKeys,
} from "./attention/explanation.ts";
export * from "./attention/problem.ts";
export type { Indices } from "./attention/options/spans.ts";
export {
  HARDWARE_TILES,
  SOFTWARE_TILES,
  type TileOptions,
  type Tiles,
} from "./attention/variants/tiles.ts";

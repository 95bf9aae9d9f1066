/**
 * Attention as an operation: options in, result out, with a plan in between
 * for those who want to record it themselves.
 *
 * @module
 */

export * from "./attention.ts";
export type { PlanChoices } from "./choices.ts";
export type { DealingCost } from "./cost.ts";
export type { AnyTensor, HostTensor, TensorShape } from "./inputs.ts";
export type { TileCounts } from "./key_runs.ts";
export type { SharedKeys } from "./launch.ts";
export * from "./lse.ts";
export * from "./merge.ts";
export * from "./options.ts";
export {
  AttentionPlan,
  type AttentionTensors,
  type PassDescriptor,
} from "./plan.ts";
export type { PlanExplanation, PlannedDispatch } from "./prepare.ts";
export * from "./problem.ts";
export type { Indices } from "./spans.ts";
export {
  HARDWARE_TILES,
  SOFTWARE_TILES,
  type TileProfile,
  tileProfile,
} from "./tiles.ts";

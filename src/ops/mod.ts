/**
 * Attention as an operation: options in, result out, with a plan in between
 * for those who want to record it themselves.
 *
 * @module
 */

export * from "./attention.ts";
export * from "./lse.ts";
export * from "./merge.ts";
export * from "./options.ts";
export {
  AttentionPlan,
  type AttentionTensors,
  type PassDescriptor,
  type PlanChoices,
  type PlanExplanation,
  type PlannedDispatch,
} from "./plan.ts";
export * from "./problem.ts";
export type { TileCounts } from "./schedule.ts";
export {
  HARDWARE_TILES,
  SOFTWARE_TILES,
  type TileProfile,
  tileProfile,
} from "./tiles.ts";

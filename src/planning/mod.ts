/**
 * What attention costs to move, and which tiles cost least: exact counts of
 * slow-memory traffic and arithmetic for each schedule, lower bounds, and a
 * planner. Pure arithmetic; nothing here needs a GPU.
 *
 * @example Traffic of three schedules on a cache of 16 KiB
 * ```ts
 * import {
 *   flash1Cost,
 *   flash2Cost,
 *   standardCost,
 *   totalTraffic,
 * } from "@quire/attention/planning";
 *
 * const sizes = { queries: 1024, keys: 1024, headDim: 64 };
 * const costs = {
 *   standard: standardCost(sizes),
 *   fa1: flash1Cost(sizes, { rows: 16, keys: 16 }),
 *   fa2: flash2Cost(sizes, { rows: 64, keys: 16 }),
 * };
 * for (const [name, { traffic }] of Object.entries(costs)) {
 *   console.log(name, totalTraffic(traffic));
 * }
 * ```
 *
 * @module
 */

export type { AttentionSizes } from "./traffic/sizes.ts";
export {
  addCosts,
  addTraffic,
  type Flops,
  type Moved,
  type ScheduleCost,
  totalFlops,
  totalTraffic,
  type Traffic,
  TRAFFIC_TENSORS,
  trafficBytes,
  type TrafficTensor,
} from "./traffic/cost.ts";
export type { CostTiles } from "./traffic/tiles.ts";
export { flash1Cost, flash2Cost, tileElements } from "./traffic/fused.ts";
export {
  standardBackwardCost,
  standardCost,
  type StandardTiles,
} from "./traffic/standard.ts";
export {
  smallCacheCost,
  smallCacheElements,
  smallCacheTile,
} from "./traffic/small_cache.ts";
export {
  backwardTileElements,
  flash1BackwardCost,
  flash2BackwardCost,
} from "./traffic/backward.ts";
export { type TrafficBound, trafficBound } from "./traffic/bound.ts";
export {
  type MicroTile,
  planTiles,
  type ScheduleCandidate,
  type ScheduleName,
  type TileLimits,
  type TilePlan,
} from "./planner.ts";
export {
  type LinearChunks,
  linearCost,
  linearStateCost,
  recurrentCost,
} from "./linear/cost.ts";
export { linearBackwardCost } from "./linear/backward.ts";
export type { LinearSizes } from "./linear/sizes.ts";
export {
  kvBytes,
  type KvSizes,
  linearStateBytes,
  stateCrossover,
  type StateSizes,
} from "./linear/state.ts";
export { featureDim, type FeatureMap } from "../core/features.ts";
export { type BandOptions, type MaskSlice, TilingMask } from "./tiling_mask.ts";
export {
  type FoldedBlock,
  type TriangleBlock,
  TriangleFold,
} from "./triangle_fold.ts";

/**
 * KV caches on a device: arenas of rows, and what writes, copies and swaps
 * them; and those of recurrent states. Which rows and states belong to whom is
 * bookkeeping of `src/cache`.
 *
 * @module
 */

export { KvArenas } from "./arenas.ts";
export {
  ContiguousCache,
  type ContiguousCacheOptions,
} from "./contiguous_cache.ts";
export { KvCache } from "./kv_cache.ts";
export {
  type BlockSlot,
  KvSwap,
  type KvSwapOptions,
  type SwapOptions,
} from "./kv_swap.ts";
export type { ReadRowsOptions, SequenceRows } from "./read_rows.ts";
export type { GivenReservation, ReserveRequest } from "./requests.ts";
export type { AllLayerRows, KeyRotation, LayerRows } from "./rows.ts";
export type { ExtentKeys, TableKeys } from "./sequence_keys.ts";
export type { KvCacheOptions } from "./sizes.ts";
export type { CacheStep } from "./step.ts";
export { StateCache, type StateCopy } from "./states/state_cache.ts";
export type { StateCacheOptions } from "./states/state_sizes.ts";
export { StateSwap, type StateSwapOptions } from "./states/state_swap.ts";

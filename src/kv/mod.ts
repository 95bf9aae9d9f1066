/**
 * KV caches on a device: arenas of rows, and what writes, copies and swaps
 * them. Which rows belong to whom is bookkeeping of `src/cache`.
 *
 * @module
 */

export type { AllLayerRows, KeyRotation, LayerRows } from "./rows.ts";
export type { GivenReservation, ReserveRequest } from "./requests.ts";
export type { CacheStep } from "./step.ts";
export type { KvCacheOptions } from "./sizes.ts";
export { KvArenas } from "./arenas.ts";
export * from "./kv_cache.ts";
export * from "./contiguous_cache.ts";
export * from "./kv_swap.ts";

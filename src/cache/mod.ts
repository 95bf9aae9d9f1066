/**
 * The KV caches and their bookkeeping: a pool of blocks with reference counts,
 * block tables that fork and copy on write, and their packed form for kernels;
 * an index that finds cached prefixes, and a manager of many sequences; extents
 * that grow by moving, for kernels that read keys in order.
 *
 * @module
 */

export * from "./block_pool.ts";
export * from "./block_table.ts";
export * from "./cache_manager.ts";
export type * from "./manager_types.ts";
export type { CacheSequence, SequenceStatus } from "./cache_sequence.ts";
export {
  type ContiguousFork,
  type ContiguousGrowth,
  ContiguousSequence,
} from "./contiguous_sequence.ts";
export {
  type Extent,
  ExtentPool,
  type ExtentSize,
  type ExtentStats,
} from "./extent_pool.ts";
export type { BlockRun } from "./free_extents.ts";
export type { GroupCopy, LayerGroup } from "./group_match.ts";
export {
  grownCapacity,
  GROWTH_POLICIES,
  type GrowthOptions,
  type GrowthPolicy,
} from "./growth.ts";
export * from "./head_tables.ts";
export * from "./mapper_simulator.ts";
export {
  type ChainHash,
  chainHash,
  type DomainValue,
  type PrefixDomain,
} from "./prefix_hash.ts";
export type { PrefixCursor } from "./prefix_cursor.ts";
export { PrefixIndex } from "./prefix_index.ts";
export type * from "./prefix_types.ts";
export type { Pin } from "./prefix_pins.ts";
export type { AppendRotation, AppendRows } from "./kv_rows.ts";
export type { KvCacheOptions } from "./kv_sizes.ts";
export { KvArenas } from "./kv_arenas.ts";
export * from "./kv_cache.ts";
export * from "./kv_contiguous.ts";
export * from "./kv_swap.ts";
export * from "./rotary_table.ts";
export * from "./stats.ts";
export type { SwapCopy, SwapTransfer } from "./swap_space.ts";
export * from "./tables.ts";
export { OutOfBlocksError } from "../core/errors.ts";

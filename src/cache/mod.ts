/**
 * The paged KV cache's bookkeeping: a pool of blocks with reference counts,
 * block tables that fork and copy on write, and their packed form for kernels;
 * an index that finds cached prefixes, and a manager of many sequences.
 *
 * @module
 */

export * from "./block_pool.ts";
export * from "./block_table.ts";
export * from "./cache_manager.ts";
export type * from "./manager_types.ts";
export type { CacheSequence, SequenceStatus } from "./cache_sequence.ts";
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
export * from "./kv_cache.ts";
export * from "./rotary_table.ts";
export * from "./stats.ts";
export type { SwapCopy, SwapTransfer } from "./swap_space.ts";
export * from "./tables.ts";
export { OutOfBlocksError } from "../core/errors.ts";

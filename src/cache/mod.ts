/**
 * The bookkeeping of KV caches, headless: a pool of blocks with reference
 * counts, block tables that fork and copy on write, and their packed form for
 * kernels; an index that finds cached prefixes, and a manager of many
 * sequences; extents that grow by moving, for kernels that read keys in order.
 *
 * @module
 */

export * from "./block/block_pool.ts";
export * from "./block/block_table.ts";
export * from "./manager/cache_manager.ts";
export type * from "./manager/manager_types.ts";
export type {
  CacheSequence,
  SequenceStatus,
} from "./manager/cache_sequence.ts";
export {
  type ContiguousFork,
  type ContiguousGrowth,
  ContiguousSequence,
} from "./extent/contiguous_sequence.ts";
export { ExtentPool } from "./extent/extent_pool.ts";
export type * from "./extent/extent_types.ts";
export type { BlockRun } from "./extent/free_extents.ts";
export type { GroupCopy, LayerGroup } from "./manager/group_match.ts";
export {
  grownCapacity,
  GROWTH_POLICIES,
  type GrowthOptions,
  type GrowthPolicy,
} from "./extent/growth.ts";
export * from "./block/head_tables.ts";
export {
  type ChainHash,
  chainHash,
  type DomainValue,
  type PrefixDomain,
} from "./prefix/prefix_hash.ts";
export type { PrefixCursor } from "./prefix/prefix_cursor.ts";
export { PrefixIndex } from "./prefix/prefix_index.ts";
export type * from "./prefix/prefix_types.ts";
export type { Pin } from "./prefix/prefix_pins.ts";
export * from "./block/stats.ts";
export type { SwapCopy, SwapTransfer } from "./swap/swap_space.ts";
export * from "./block/tables.ts";
export { OutOfBlocksError } from "../core/errors.ts";

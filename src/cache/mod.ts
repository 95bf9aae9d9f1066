/**
 * The bookkeeping of KV caches, headless: a pool of blocks with reference
 * counts, block tables that fork and copy on write, and their packed form for
 * kernels; an index that finds cached prefixes, and a manager of many
 * sequences; slots of recurrent states, which fork and are kept beside them;
 * extents that grow by moving, for kernels that read keys in order.
 *
 * @module
 */

export { OutOfBlocksError, OutOfStatesError } from "../core/errors.ts";
export { BlockPool, NULL_BLOCK } from "./block/block_pool.ts";
export { BlockTable } from "./block/block_table.ts";
export { type PackedHeadTables, packHeadTables } from "./block/head_tables.ts";
export type {
  AllocateOptions,
  BlockPoolOptions,
  CacheMarks,
} from "./block/pool_types.ts";
export {
  type Footprint,
  type FootprintOptions,
  type Footprints,
  footprints,
  type Sharing,
  sharing,
} from "./block/stats.ts";
export type {
  BlockCopy,
  Reservation,
  ReserveOptions,
} from "./block/table_types.ts";
export {
  type PackedTables,
  packTables,
  type PackTablesOptions,
} from "./block/tables.ts";
export {
  type ContiguousFork,
  type ContiguousGrowth,
  ContiguousSequence,
} from "./extent/contiguous_sequence.ts";
export { ExtentPool } from "./extent/extent_pool.ts";
export type { Extent, ExtentSize, ExtentStats } from "./extent/extent_types.ts";
export type { BlockRun } from "./extent/free_extents.ts";
export {
  grownCapacity,
  type GrowthOptions,
  type GrowthPolicy,
} from "./extent/growth.ts";
export { CacheManager } from "./manager/cache_manager.ts";
export type {
  CacheSequence,
  SequenceStatus,
} from "./manager/cache_sequence.ts";
export type { GroupCopy, LayerGroup } from "./manager/group_match.ts";
export type {
  Admission,
  AdmitOptions,
  CacheManagerOptions,
  ManagerStateOptions,
  ReorderOptions,
  SequenceReservation,
  SequenceReserveOptions,
} from "./manager/manager_types.ts";
export type { PrefixCursor } from "./prefix/prefix_cursor.ts";
export type {
  ChainHash,
  DomainValue,
  PrefixDomain,
} from "./prefix/prefix_hash.ts";
export { PrefixIndex } from "./prefix/prefix_index.ts";
export type { Pin } from "./prefix/prefix_pins.ts";
export type {
  PinOptions,
  PrefixEvent,
  PrefixIndexOptions,
  PrefixMatch,
  PrefixQuery,
  PrefixStats,
} from "./prefix/prefix_types.ts";
export type { SnapshotPolicy } from "./state/snapshot_policy.ts";
export {
  NULL_STATE,
  StatePool,
  type StatePoolOptions,
} from "./state/state_pool.ts";
export { type StateRound, stateRounds } from "./state/state_rounds.ts";
export { StateSequence } from "./state/state_sequence.ts";
export { StateSnapshot } from "./state/state_snapshot.ts";
export type {
  StatePart,
  StateReserveOptions,
  StateTruncateOptions,
} from "./state/state_types.ts";
export type { SwapCopy, SwapTransfer } from "./swap/swap_space.ts";

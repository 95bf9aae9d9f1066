/**
 * What a cache manager is given, and what it gives.
 *
 * @module
 */

import type { BlockPool } from "../block/block_pool.ts";
import type { CacheSequence } from "./cache_sequence.ts";
import type { GroupCopy, LayerGroup } from "./group_match.ts";
import type { GrowthPolicy } from "../extent/growth.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { PrefixIndex } from "../prefix/prefix_index.ts";
import type { SnapshotPolicy } from "../state/snapshot_policy.ts";
import type { StatePool } from "../state/state_pool.ts";
import type { StatePart } from "../state/state_types.ts";

/**
 * The states of a `CacheManager` whose groups are not all of attention.
 *
 * @category Cache
 */
export interface ManagerStateOptions {
  /**
   * The slots, of the block size of the manager's pool. No one else may hold or
   * release them, but by pins.
   */
  readonly pool: StatePool;
  /**
   * The index over them, where the manager has one over its blocks. A prefix is
   * found as far as blocks and states are both there.
   */
  readonly index?: PrefixIndex;
  /** Where states are kept for the index. */
  readonly snapshots?: SnapshotPolicy;
  /** Slots of host memory for swapped sequences. Defaults to 0. */
  readonly hostStates?: number;
}

/**
 * How a `CacheManager` works.
 *
 * @category Cache
 */
export interface CacheManagerOptions {
  /** The blocks. No one else may hold or release them, but by pins. */
  readonly pool: BlockPool;
  /** The pool's index; without one nothing is cached. */
  readonly index?: PrefixIndex;
  /**
   * Groups of layers, one block table or state each; those of states come last.
   * Defaults to one of attention without window.
   */
  readonly groups?: readonly LayerGroup[];
  /** What groups of states lie in; needed where there are any. */
  readonly states?: ManagerStateOptions;
  /**
   * The fraction of blocks, and of states, that admitting a sequence must leave
   * free, so that running ones can grow. Defaults to 0.01.
   */
  readonly watermark?: number;
  /** Blocks of host memory for swapped sequences. Defaults to 0. */
  readonly hostBlocks?: number;
  /** When room is taken. Defaults to `"page"`. */
  readonly growth?: GrowthPolicy;
  /** The longest length of a sequence. Unbounded by default. */
  readonly maxLength?: number;
}

/**
 * A sequence with what is cached of it.
 *
 * @category Cache
 */
export interface Admission {
  /** The sequence, which holds the cached blocks. */
  readonly sequence: CacheSequence;
  /** Tokens that need not be computed. */
  readonly cached: number;
  /** The tokens that are to be added and computed, in order. */
  readonly pending: readonly number[];
  /** Copies of partial blocks, to carry out before anything is written. */
  readonly copies: readonly GroupCopy[];
}

/**
 * How `CacheManager.reserve()` goes about it.
 *
 * @category Cache
 */
export interface SequenceReserveOptions {
  /**
   * Whether each of the tokens may be the last that stays, as drafts may be
   * rejected after they are written: states are then kept behind each token
   * until the commit, which takes a slot each. Defaults to `false`.
   */
  readonly drafts?: boolean;
}

/**
 * Where new tokens go in each layer group, and what is copied first.
 *
 * @category Cache
 */
export interface SequenceReservation {
  /** For each group with keys, the physical slot of each new token. */
  readonly slots: readonly Uint32Array[];
  /**
   * Copies to carry out before anything is written to `slots`, and before
   * those of any later call.
   */
  readonly copies: readonly GroupCopy[];
  /**
   * For each group of states, the slots that are read and written, part by part;
   * only where there is such a group.
   */
  readonly states?: readonly (readonly StatePart[])[];
}

/**
 * What `CacheManager.reorder()` does.
 *
 * @category Cache
 */
export interface ReorderOptions {
  /** The beams, each once. */
  readonly beams: readonly CacheSequence[];
  /** For each beam, which of them (by index) it goes on from. */
  readonly parents: readonly number[];
  /** For each beam, the tokens that are added to it. None by default. */
  readonly tokens?: readonly (readonly number[])[];
}

/**
 * What `CacheManager.canAdmit()` asks about.
 *
 * @category Cache
 */
export interface AdmitOptions {
  /** What keeps the sequence apart from others. */
  readonly domain?: PrefixDomain;
  /**
   * Tokens computed at a time, after which windows give blocks back. Defaults
   * to all.
   */
  readonly chunk?: number;
}

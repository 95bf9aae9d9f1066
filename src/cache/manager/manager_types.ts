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
  /** Groups of layers, one block table each. Defaults to one without window. */
  readonly groups?: readonly LayerGroup[];
  /**
   * The fraction of blocks that admitting a sequence must leave free, so that
   * running ones can grow. Defaults to 0.01.
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
 * Where new tokens go in each layer group, and what is copied first.
 *
 * @category Cache
 */
export interface SequenceReservation {
  /** For each group, the physical slot of each new token. */
  readonly slots: readonly Uint32Array[];
  /**
   * Copies to carry out before anything is written to `slots`, and before
   * those of any later call.
   */
  readonly copies: readonly GroupCopy[];
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

/**
 * A sequence of a cache manager, as its callers hold it and as it keeps it.
 *
 * @module
 */

import type { BlockPool } from "../block/block_pool.ts";
import type { BlockTable } from "../block/block_table.ts";
import type { PrefixCursor } from "../prefix/prefix_cursor.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { SnapshotLengths } from "../state/snapshot_policy.ts";
import type { StateSequence } from "../state/state_sequence.ts";

/**
 * Where a sequence's blocks are:
 *
 * - `"running"`: on the device;
 * - `"preempted"`: nowhere; they must be computed again;
 * - `"swappingOut"`, `"swappingIn"`: on both sides of a transfer under way;
 * - `"swapped"`: in host memory;
 * - `"freed"`: nowhere, and never again.
 *
 * @category Cache
 */
export type SequenceStatus =
  | "running"
  | "preempted"
  | "swappingOut"
  | "swapped"
  | "swappingIn"
  | "freed";

/** What a manager keeps of a sequence. */
export interface SequenceState {
  /** What keeps its blocks apart from others'. */
  readonly domain: PrefixDomain;
  /** Where its blocks are. */
  status: SequenceStatus;
  /** Tokens that have a slot. */
  tokens: number[];
  /** Tokens whose keys and values are written. */
  committed: number;
  /** A table for each layer group, while any block is on the device. */
  tables: BlockTable[];
  /** A place in the index for each layer group; none without an index. */
  cursors: PrefixCursor[];
  /** Host slots for each layer group, 0 for dropped blocks. */
  host: number[][];
  /** A state for each group of states, while it is on the device. */
  states: StateSequence[];
  /** As `cursors`, for groups of states. */
  stateCursors: PrefixCursor[];
  /** Where its states are kept; none before it first runs. */
  snapshots: SnapshotLengths | undefined;
  /** A host slot for each group of states, 0 for the null state. */
  hostStates: number[];
}

/** The state of a sequence that was just made. */
export function newState(domain: PrefixDomain): SequenceState {
  return {
    domain,
    status: "preempted",
    tokens: [],
    committed: 0,
    tables: [],
    cursors: [],
    host: [],
    states: [],
    stateCursors: [],
    snapshots: undefined,
    hostStates: [],
  };
}

/**
 * A handle on one sequence of a {@linkcode CacheManager}, which makes it.
 *
 * @category Cache
 */
export class CacheSequence {
  /** The pool of its manager. */
  readonly pool: BlockPool;
  readonly #state: SequenceState;

  /** Made by `CacheManager.create()` and `CacheManager.fork()`. */
  constructor(pool: BlockPool, state: SequenceState) {
    this.pool = pool;
    this.#state = state;
  }

  /** Where the blocks are. */
  get status(): SequenceStatus {
    return this.#state.status;
  }

  /** Tokens that have a slot; 0 while preempted. */
  get length(): number {
    return this.#state.tokens.length;
  }

  /** Tokens whose keys and values are written, by the caller's word. */
  get committed(): number {
    return this.#state.committed;
  }

  /** A copy of the tokens that have a slot. */
  get tokens(): readonly number[] {
    return [...this.#state.tokens];
  }

  /**
   * The state of each group of states, in order, with the slot that it is in.
   * Changing one behind the manager's back breaks the sequence. Empty unless
   * they are on the device.
   */
  get states(): readonly StateSequence[] {
    return [...this.#state.states];
  }

  /**
   * The block table of each layer group that has keys, for kernels to read. Changing one
   * behind the manager's back breaks the sequence. Empty unless blocks are on
   * the device.
   */
  get tables(): readonly BlockTable[] {
    return [...this.#state.tables];
  }
}

/**
 * The recurrent states of a cache manager's sequences, and their places in the
 * index of states.
 *
 * @module
 */

import { OutOfBlocksError } from "../../core/errors.ts";
import type { SequenceState } from "./cache_sequence.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { PrefixIndex } from "../prefix/prefix_index.ts";
import {
  type Beginning,
  type FullSnapshotPolicy,
  SnapshotLengths,
} from "../state/snapshot_policy.ts";
import { NULL_STATE, type StatePool } from "../state/state_pool.ts";
import { StateSequence } from "../state/state_sequence.ts";
import type { StatePart } from "../state/state_types.ts";

/** What the states are in. */
export interface StatesOptions {
  /** The slots. */
  readonly pool: StatePool;
  /** The pool's index, if it has one. */
  readonly index?: PrefixIndex;
  /** The numbers of the groups that have a state. */
  readonly groups: readonly number[];
  /** Where states are kept for the index. */
  readonly snapshots: FullSnapshotPolicy;
}

/** Tokens that a sequence's states are to go on over. */
export interface StateRequest {
  /** The sequence. */
  readonly state: SequenceState;
  /** Tokens. */
  readonly count: number;
  /** Whether each of them may be the last that stays. */
  readonly drafts?: boolean;
}

/** How one request is served. */
interface StateStep extends StateRequest {
  /** Lengths on the way at which states are kept. */
  readonly at: readonly number[];
  /** Slots for each group. */
  readonly needs: readonly number[];
}

/** How several requests are served, one after the other. */
export interface StatePlan {
  /** Each of them. */
  readonly steps: readonly StateStep[];
  /** Holds that are given back before. */
  readonly release: readonly number[];
  /** Slots of all of them together. */
  readonly needed: number;
  /** Whether what the index finds gives way where its holder goes on. */
  readonly evict: boolean;
}

/** How much the index is cared for. */
interface Effort {
  /** Whether states are kept on the way. */
  readonly snapshots: boolean;
  /** As `StatePlan.evict`. */
  readonly evict: boolean;
}

/** The most first. */
const EFFORTS: readonly Effort[] = [
  { snapshots: true, evict: false },
  { snapshots: false, evict: false },
  { snapshots: false, evict: true },
];

/**
 * Changes what sequences hold of states, once all is checked that can be wrong
 * with it. Without a group of states it does nothing.
 */
export class SequenceStates {
  readonly #options: StatesOptions | undefined;

  /** Begins with no sequence. */
  constructor(options: StatesOptions | undefined) {
    this.#options = options;
  }

  /** Groups that have a state. */
  get count(): number {
    return this.#options?.groups.length ?? 0;
  }

  /** For each group, the slot of the state at the end of each known block. */
  walk(tokens: readonly number[], domain: PrefixDomain): number[][] {
    const { groups = [], index } = this.#options ?? {};
    return groups.map((group) =>
      index === undefined ? [] : index.walk(tokens, { ...domain, group })
    );
  }

  /** Holds a slot for each group, for a state without any. */
  begin(
    state: SequenceState,
    slots: readonly number[],
    beginning: Beginning,
  ): void {
    if (this.#options === undefined) return;
    const { pool, index, snapshots } = this.#options;
    pool.allocate(0, { reuse: slots.filter((slot) => slot !== NULL_STATE) });
    state.states = slots.map((slot) =>
      StateSequence.adopt(pool, slot, beginning.cached)
    );
    state.snapshots = new SnapshotLengths(
      index && snapshots,
      pool.blockSize,
      beginning,
    );
  }

  /**
   * Works out which slots requests take, and changes nothing. Where slots are
   * short, states are not kept on the way; and then not where a sequence alone
   * holds the one that it goes on from.
   *
   * @param release Holds that are given back before.
   * @throws {OutOfStatesError} if even so all together need more than are free.
   */
  plan(
    requests: readonly StateRequest[],
    release: readonly number[] = [],
  ): StatePlan {
    return this.#planWith(EFFORTS, requests, release);
  }

  /** Takes a plan's slots; nothing may have changed since it was made. */
  reserve({ steps, release, needed, evict }: StatePlan): StatePart[][][] {
    if (this.#options === undefined) return steps.map(() => []);
    const { pool, index } = this.#options;
    const fresh = pool.allocate(needed, { release });
    return steps.map(({ state, count, drafts: keep = false, at, needs }) =>
      state.states.map((sequence, group) => {
        const { slot } = sequence;
        const alone = slot !== NULL_STATE && pool.refCount(slot) === 1;
        if (evict && count > 0 && !keep && alone) index?.evict(slot);
        const slots = fresh.splice(0, needs[group]);
        return sequence.reserve(count, { at, keep, slots });
      })
    );
  }

  /** Opens a state's places in the index, and notes what it has committed. */
  enter(state: SequenceState): void {
    const { groups = [], index } = this.#options ?? {};
    if (index === undefined) return;
    state.stateCursors = groups.map((group) =>
      index.cursor({ ...state.domain, group })
    );
    this.store(state);
  }

  /** Notes the committed states that are kept and the index does not know yet. */
  store(
    { stateCursors, states, tokens, committed, snapshots }: SequenceState,
  ): void {
    const blockSize = this.#options?.pool.blockSize ?? 1;
    stateCursors.forEach((cursor, i) => {
      while ((cursor.blocks + 1) * blockSize <= committed) {
        const start = cursor.blocks * blockSize;
        const end = start + blockSize;
        const slot = snapshots!.has(end) ? states[i].slotAt(end) : NULL_STATE;
        cursor.advance(tokens.slice(start, end), slot);
      }
    });
  }

  /** The plan of the first effort for which there are slots. */
  #planWith(
    [effort, ...less]: readonly Effort[],
    requests: readonly StateRequest[],
    release: readonly number[],
  ): StatePlan {
    const plan = this.#planned(requests, release, effort);
    try {
      this.#options?.pool.checkAllocate(plan.needed, { release });
      return plan;
    } catch (error) {
      const short = error instanceof OutOfBlocksError;
      if (!short || less.length === 0) throw error;
      return this.#planWith(less, requests, release);
    }
  }

  #planned(
    requests: readonly StateRequest[],
    release: readonly number[],
    { snapshots, evict }: Effort,
  ): StatePlan {
    const gone = new Map<number, number>();
    for (const id of release) gone.set(id, (gone.get(id) ?? 0) + 1);
    const alone = ({ pool, slot }: StateSequence) =>
      slot !== NULL_STATE &&
      pool.refCount(slot) - (gone.get(slot) ?? 0) === 1 &&
      (evict || !pool.isCached(slot));
    const steps = requests.map((request): StateStep => {
      const { state, count, drafts = false } = request;
      const { length } = state.tokens;
      const between = drafts
        ? Array.from(
          { length: Math.max(0, count - 1) },
          (_, i) => length + 1 + i,
        )
        : state.snapshots?.between(length, length + count) ?? [];
      const at = drafts || snapshots ? between : [];
      const needs = state.states.map((sequence) => {
        if (count === 0) return 0;
        return at.length + (!drafts && alone(sequence) ? 0 : 1);
      });
      return { ...request, at, needs };
    });
    const needed = steps.flatMap(({ needs }) => needs)
      .reduce((sum, n) => sum + n, 0);
    return { steps, release, needed, evict };
  }
}

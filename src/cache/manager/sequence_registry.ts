/**
 * The sequences of a cache manager and the transfers that they are in: who is
 * known here, and who may be used.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { BlockPool } from "../block/block_pool.ts";
import {
  CacheSequence,
  type SequenceState,
  type SequenceStatus,
} from "./cache_sequence.ts";
import { checkStatus } from "./manager_checks.ts";
import type { SwapTransfer } from "../swap/swap_space.ts";

/** Finds the state behind a handle that a caller holds. */
export class SequenceRegistry {
  readonly #pool: BlockPool;
  readonly #states: Map<CacheSequence, SequenceState> = new Map();
  readonly #transfers: Set<SwapTransfer> = new Set();

  /** Knows no sequence yet; those to come hold blocks of `pool`. */
  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** The handles, the oldest first. */
  get sequences(): CacheSequence[] {
    return [...this.#states.keys()];
  }

  /** The states, in the same order. */
  get states(): SequenceState[] {
    return [...this.#states.values()];
  }

  /** Takes a sequence in. */
  add(state: SequenceState): CacheSequence {
    const sequence = new CacheSequence(this.#pool, state);
    this.#states.set(sequence, state);
    return sequence;
  }

  /** Strikes a sequence out. */
  remove(sequence: CacheSequence): void {
    this.#states.delete(sequence);
  }

  /**
   * The state of a sequence.
   *
   * @throws {TypeError} if it is not one of this manager, or is freed.
   */
  get(sequence: CacheSequence, name = "sequence"): SequenceState {
    const state = this.#states.get(sequence);
    checkType(
      state !== undefined,
      name,
      "must be a live sequence of this manager",
      sequence,
    );
    return state;
  }

  /**
   * The state of a sequence that runs.
   *
   * @throws {TypeError} if it is not one that runs here.
   */
  running(sequence: CacheSequence): SequenceState {
    const state = this.get(sequence);
    checkStatus(state, ["running"]);
    return state;
  }

  /**
   * The states of several sequences of one status.
   *
   * @throws {TypeError} if one is not of the status here, or comes twice.
   */
  distinct(
    name: string,
    sequences: readonly CacheSequence[],
    status: SequenceStatus = "running",
  ): SequenceState[] {
    checkType(Array.isArray(sequences), name, "must be an array", sequences);
    const states = sequences.map((s, i) => this.get(s, `${name}[${i}]`));
    for (const state of states) checkStatus(state, [status]);
    checkType(
      new Set(states).size === states.length,
      name,
      "must not name a sequence twice",
      sequences,
    );
    return states;
  }

  /** Notes a transfer that begins; what the caller gets cannot be edited. */
  open(transfer: SwapTransfer): SwapTransfer {
    const sequences = Object.freeze([...transfer.sequences]);
    const frozen = Object.freeze({ ...transfer, sequences });
    this.#transfers.add(frozen);
    return frozen;
  }

  /**
   * Ends a transfer, whose sequences' states are returned.
   *
   * @throws {TypeError} if it is not under way here.
   */
  close(transfer: SwapTransfer): SequenceState[] {
    checkType(
      this.#transfers.delete(transfer),
      "transfer",
      "must be under way in this manager",
      transfer,
    );
    return transfer.sequences.map((sequence) => this.get(sequence));
  }
}

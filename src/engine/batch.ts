/**
 * Puts a step together: who is served, who is admitted and who is preempted.
 *
 * @module
 */

import type { CacheManager, SequenceReservation } from "../cache/mod.ts";
import { OutOfBlocksError } from "../core/errors.ts";
import type { ScheduledSequence } from "./in_flight.ts";
import type { KvMemory } from "./kv_memory.ts";
import { compareRanks, type FullPolicy } from "./policy.ts";
import type { RequestQueues } from "./request_queues.ts";
import type { RequestState } from "./request_state.ts";
import type { SchedulerParts } from "./scheduler_parts.ts";
import type { Preemption } from "./step.ts";
import { type Chunk, chunksWithin } from "./token_budget.ts";

/** Who is told what happens while a step is put together. */
export interface BatchListeners {
  /** Called with each victim. */
  readonly onPreempt: (preemption: Preemption) => void;
  /** Called with a request that lacks blocks even alone. */
  readonly onFail: (state: RequestState, error: OutOfBlocksError) => void;
}

/** The sequences of one step in the making. */
export class Batch {
  /** What is computed. */
  readonly scheduled: ScheduledSequence[] = [];
  readonly #cache: CacheManager;
  readonly #policy: FullPolicy;
  readonly #queues: RequestQueues;
  readonly #memory: KvMemory;
  readonly #listeners: BatchListeners;
  #left: number;
  #decoding: number;

  /** Begins a step with no work. */
  constructor(parts: SchedulerParts, listeners: BatchListeners) {
    this.#cache = parts.cache;
    this.#policy = parts.policy;
    this.#queues = parts.queues;
    this.#memory = parts.memory;
    this.#listeners = listeners;
    this.#left = parts.policy.tokenBudget;
    this.#decoding = [...parts.queues.running]
      .reduce((sum, state) => sum + state.decoding, 0);
  }

  /** Serves requests in rank order until the tokens or blocks are used up. */
  fill(): void {
    let index = 0;
    while (this.#left > 0) {
      const running = this.#queues.running.at(index);
      const waiting = this.#queues.waiting.at(0);
      if (waiting && !(running && compareRanks(running, waiting) < 0)) {
        if (!this.#admit(waiting)) return;
      } else if (running) this.#decoding -= running.decoding;
      const state = this.#queues.running.at(index);
      if (state === undefined) return;
      if (state.status !== "swappingIn" && !this.#serve(state)) {
        if (this.#queues.has(state)) return;
      } else index++;
    }
  }

  /** Admits a waiting request; those behind it are preempted if need be. */
  #admit(state: RequestState): boolean {
    const { maxSequences } = this.#policy;
    const { length: width } = state.live;
    do {
      if (
        this.#queues.runningBranches + width <= maxSequences &&
        this.#memory.allocate(state, this.#queues.running.length === 0)
      ) {
        this.#queues.toRunning(state);
        return true;
      }
    } while (this.#preemptBehind(state));
    return false;
  }

  /** Preempts the last in rank, if there is one behind `state`. */
  #preemptBehind(state: RequestState): boolean {
    const last = this.#queues.lastBehind(state);
    if (last === undefined) return false;
    this.#decoding -= last.decoding;
    if (last.status === "swappingIn") this.#memory.abortSwapIn(last);
    else this.#listeners.onPreempt(this.#memory.preempt(last));
    this.#queues.toWaiting(last);
    return true;
  }

  /** Says whether a request got all that it could use. */
  #serve(state: RequestState): boolean {
    const { chunks, beamStep } = chunksWithin(state, this.#policy, {
      left: this.#left,
      decoding: this.#decoding,
    });
    if (chunks.length === 0) return false;
    const before = this.scheduled.length;
    const error = beamStep
      ? this.#scheduleBeams(state, chunks)
      : this.#scheduleEach(state, chunks);
    if (error === undefined) return true;
    const served = this.scheduled.length > before;
    if (!served && this.#queues.running.length === 1) {
      this.#listeners.onFail(state, error);
    }
    return false;
  }

  /** Reserves chunk by chunk, as far as there are blocks. */
  #scheduleEach(
    state: RequestState,
    chunks: readonly Chunk[],
  ): OutOfBlocksError | undefined {
    for (const chunk of chunks) {
      const { branch, sequence, count } = chunk;
      const tokens = state.tokens(branch, sequence.length, count);
      const reservation = this.#reserve(
        state,
        () => this.#cache.reserve(sequence, tokens),
      );
      if (reservation instanceof OutOfBlocksError) return reservation;
      this.#add(state, chunk, { reservation, beamStep: false });
    }
  }

  /** Reserves the next token of every beam, or for none. */
  #scheduleBeams(
    state: RequestState,
    chunks: readonly Chunk[],
  ): OutOfBlocksError | undefined {
    const parents = state.parents ?? chunks.map((_, i) => i);
    const beams = chunks.map(({ sequence }) => sequence);
    const tokens = chunks.map(({ branch }) => branch.outputs.slice(-1));
    this.#memory.noteFreed(beams);
    const reservations = this.#reserve(
      state,
      () => this.#cache.reorder({ beams, parents, tokens }),
    );
    if (reservations instanceof OutOfBlocksError) return reservations;
    state.parents = undefined;
    reservations.forEach((reservation, i) =>
      this.#add(state, chunks[i], { reservation, beamStep: true })
    );
  }

  /** Reserves, and preempts until there are enough blocks. */
  #reserve<T>(
    state: RequestState,
    reserve: () => T,
  ): T | OutOfBlocksError {
    while (true) {
      try {
        return reserve();
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
        if (!this.#preemptBehind(state)) return error;
      }
    }
  }

  /** Adds a chunk to the step, now that it is reserved. */
  #add(
    state: RequestState,
    { branch, sequence, count, samples }: Chunk,
    { reservation, beamStep }: {
      reservation: SequenceReservation;
      beamStep: boolean;
    },
  ): void {
    this.#memory.addCopies(state, reservation.copies);
    this.#left -= count;
    const end = sequence.length;
    const start = end - count;
    const work = {
      request: state.request.id,
      branch: branch.index,
      sequence,
      tokens: state.tokens(branch, start, count),
      start,
      slots: reservation.slots,
      ...(reservation.states && { states: reservation.states }),
      blocks: sequence.tables.map(({ blocks }) => blocks),
      samples,
    };
    this.scheduled.push({ state, branch, end, beamStep, work });
  }

  /** Takes back the tokens of a step that will not be. */
  cancel(): void {
    for (const { work: { sequence, start } } of this.scheduled) {
      this.#cache.truncate(sequence, start, { unwritten: true });
    }
  }
}

/**
 * Puts a step together: who is served, who comes in and who gives way.
 *
 * @module
 */

import type { CacheManager, SequenceReservation } from "../cache/mod.ts";
import { OutOfBlocksError } from "../core/errors.ts";
import type { FlightWork } from "./flight.ts";
import { compareRanks, type FullPolicy } from "./policy.ts";
import type { RequestState } from "./request_state.ts";
import type { Residency } from "./residency.ts";
import type { Roster } from "./roster.ts";
import { type Share, sharesOf } from "./shares.ts";
import type { Preemption } from "./step.ts";

/** What a step is put together from. */
export interface BatchSources {
  /** The blocks. */
  readonly cache: CacheManager;
  /** The rules. */
  readonly policy: FullPolicy;
  /** The requests. */
  readonly roster: Roster;
  /** Their way in and out. */
  readonly residency: Residency;
  /** Called with each victim. */
  readonly onPreempt: (preemption: Preemption) => void;
  /** Called with a request that has no room even alone. */
  readonly onFail: (state: RequestState, error: OutOfBlocksError) => void;
}

/** The work of one step in the making. */
export class Batch {
  /** What is computed. */
  readonly works: FlightWork[] = [];
  readonly #cache: CacheManager;
  readonly #policy: FullPolicy;
  readonly #roster: Roster;
  readonly #residency: Residency;
  readonly #onPreempt: BatchSources["onPreempt"];
  readonly #onFail: BatchSources["onFail"];
  #left: number;
  #decoding: number;

  /** Begins a step with no work. */
  constructor(sources: BatchSources) {
    const { cache, policy, roster, residency } = sources;
    this.#cache = cache;
    this.#policy = policy;
    this.#roster = roster;
    this.#residency = residency;
    this.#onPreempt = sources.onPreempt;
    this.#onFail = sources.onFail;
    this.#left = policy.tokenBudget;
    this.#decoding = [...roster.running]
      .reduce((sum, state) => sum + state.decoding, 0);
  }

  /** Serves requests in rank order until something is used up. */
  fill(): void {
    let place = 0;
    while (this.#left > 0) {
      const running = this.#roster.running.at(place);
      const waiting = this.#roster.waiting.at(0);
      if (waiting && !(running && compareRanks(running, waiting) < 0)) {
        if (!this.#admit(waiting)) return;
      } else if (running) this.#decoding -= running.decoding;
      const state = this.#roster.running.at(place);
      if (state === undefined) return;
      if (state.place !== "arriving" && !this.#serve(state)) {
        if (this.#roster.has(state)) return;
      } else place++;
    }
  }

  /** Lets a request run, with the last in rank giving way if need be. */
  #admit(state: RequestState): boolean {
    const { maxSequences } = this.#policy;
    const { length: width } = state.live;
    do {
      if (
        this.#roster.sequences + width <= maxSequences &&
        this.#residency.enter(state, this.#roster.running.length === 0)
      ) {
        this.#roster.moveIn(state);
        return true;
      }
    } while (this.#preemptBehind(state));
    return false;
  }

  /** Lets the last in rank give way, if there is one behind `state`. */
  #preemptBehind(state: RequestState): boolean {
    const last = this.#roster.lastBehind(state);
    if (last === undefined) return false;
    this.#decoding -= last.decoding;
    if (last.place === "arriving") this.#residency.turnBack(last);
    else this.#onPreempt(this.#residency.leave(last));
    this.#roster.moveOut(last);
    return true;
  }

  /** Says whether a request got all that it could use. */
  #serve(state: RequestState): boolean {
    const { shares, joint } = sharesOf(state, this.#policy, {
      left: this.#left,
      decoding: this.#decoding,
    });
    if (shares.length === 0) return false;
    const before = this.works.length;
    const error = joint
      ? this.#appendBeams(state, shares)
      : this.#appendEach(state, shares);
    if (error === undefined) return true;
    const served = this.works.length > before;
    if (!served && this.#roster.running.length === 1) {
      this.#onFail(state, error);
    }
    return false;
  }

  /** Makes room share by share, as far as there is any. */
  #appendEach(
    state: RequestState,
    shares: readonly Share[],
  ): OutOfBlocksError | undefined {
    for (const share of shares) {
      const { branch, sequence, count } = share;
      const tokens = state.tokens(branch, sequence.length, count);
      const append = this.#withRoom(
        state,
        () => this.#cache.reserve(sequence, tokens),
      );
      if (append instanceof OutOfBlocksError) return append;
      this.#note(state, share, { append, joint: false });
    }
  }

  /** Makes room for the next token of every beam, or for none. */
  #appendBeams(
    state: RequestState,
    shares: readonly Share[],
  ): OutOfBlocksError | undefined {
    const parents = state.parents ?? shares.map((_, i) => i);
    const beams = shares.map(({ sequence }) => sequence);
    const tokens = shares.map(({ branch }) => branch.outputs.slice(-1));
    this.#residency.noteBlocks(beams);
    const appends = this.#withRoom(
      state,
      () => this.#cache.reorder({ beams, parents, tokens }),
    );
    if (appends instanceof OutOfBlocksError) return appends;
    state.parents = undefined;
    appends.forEach((append, i) =>
      this.#note(state, shares[i], { append, joint: true })
    );
  }

  #withRoom<T>(
    state: RequestState,
    operation: () => T,
  ): T | OutOfBlocksError {
    while (true) {
      try {
        return operation();
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
        if (!this.#preemptBehind(state)) return error;
      }
    }
  }

  /** Adds to the step what the cache has made room for. */
  #note(
    state: RequestState,
    { branch, sequence, count, samples }: Share,
    { append, joint }: { append: SequenceReservation; joint: boolean },
  ): void {
    this.#residency.owe(state, append.copies);
    this.#left -= count;
    const end = sequence.length;
    const start = end - count;
    const work = {
      request: state.request.id,
      branch: branch.index,
      tokens: state.tokens(branch, start, count),
      start,
      slots: append.slots,
      blocks: sequence.tables.map(({ blocks }) => blocks),
      samples,
    };
    const item = { state, branch, sequence, start, end, samples, joint, work };
    this.works.push(item);
  }

  /** Takes back the work of a step that will not be. */
  cancel(): void {
    for (const { sequence, start } of this.works) {
      this.#cache.truncate(sequence, start);
    }
  }
}

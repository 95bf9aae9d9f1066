/**
 * How requests end, and what is given back then.
 *
 * @module
 */

import type { FlightWork } from "./flight.ts";
import type { EndedRequest } from "./request.ts";
import type { RequestState } from "./request_state.ts";
import type { Residency } from "./residency.ts";
import type { Roster } from "./roster.ts";

/** Where requests end. */
export interface EndingsOptions {
  /** The requests. */
  readonly roster: Roster;
  /** Their sequences. */
  readonly residency: Residency;
  /** How often a request's work may be lost. */
  readonly maxRestarts: number;
}

/** Ends requests, and sets those back that must begin again. */
export class Endings {
  readonly #roster: Roster;
  readonly #residency: Residency;
  readonly #maxRestarts: number;

  /** Ends none yet. */
  constructor({ roster, residency, maxRestarts }: EndingsOptions) {
    this.#roster = roster;
    this.#residency = residency;
    this.#maxRestarts = maxRestarts;
  }

  /** Gives everything back that a request holds, and strikes it out. */
  end(
    state: RequestState,
    reason: EndedRequest["reason"],
    error?: Error,
  ): EndedRequest {
    this.#residency.release(state);
    this.#roster.remove(state);
    return state.ended(reason, error);
  }

  /** Sets requests back whose work is lost, and ends those with too much. */
  lose(failed: ReadonlyMap<RequestState, Error>): EndedRequest[] {
    const ended: EndedRequest[] = [];
    for (const [state, error] of failed) {
      if (!this.#roster.has(state)) continue;
      this.#residency.restart(state);
      this.#roster.moveOut(state);
      if (++state.restarts > this.#maxRestarts) {
        ended.push(this.end(state, "failed", error));
      }
    }
    return ended;
  }

  /** Ends what came to its end by a step's work. */
  finish(works: readonly FlightWork[]): EndedRequest[] {
    const ended: EndedRequest[] = [];
    for (const state of new Set(works.map((item) => item.state))) {
      if (!this.#roster.has(state)) continue;
      for (const branch of state.branches) {
        if (branch.end === undefined || !branch.sequence) continue;
        this.#residency.free(branch);
        this.#roster.endBranch();
      }
      if (state.live.length > 0) continue;
      ended.push(this.end(state, "finished"));
    }
    return ended;
  }
}

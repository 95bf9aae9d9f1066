/**
 * The live requests, and which of them run.
 *
 * @module
 */

import { compareRanks } from "./policy.ts";
import { RankedList } from "./ranked_list.ts";
import type { RequestState } from "./request_state.ts";

/** Every live request, in one of two lists in rank order. */
export class Roster {
  /** Those with blocks on the device. */
  readonly running: RankedList<RequestState> = new RankedList();
  /** The others. */
  readonly waiting: RankedList<RequestState> = new RankedList();
  readonly #requests: Map<string, RequestState> = new Map();
  #sequences = 0;

  /** All of them, by name. */
  get requests(): ReadonlyMap<string, RequestState> {
    return this.#requests;
  }

  /** Continuations that run. */
  get sequences(): number {
    return this.#sequences;
  }

  /** Says whether a request is live; another may have its name by now. */
  has(state: RequestState): boolean {
    return this.#requests.get(state.request.id) === state;
  }

  /** Takes in a request that waits. */
  add(state: RequestState): void {
    this.#requests.set(state.request.id, state);
    this.waiting.insert(state);
  }

  /** Notes that a waiting request runs. */
  moveIn(state: RequestState): void {
    this.waiting.remove(state);
    this.running.insert(state);
    this.#sequences += state.live.length;
  }

  /** Notes that a request does not run any longer, if it did. */
  moveOut(state: RequestState): void {
    if (!this.running.remove(state)) return;
    this.#sequences -= state.live.length;
    this.waiting.insert(state);
  }

  /** Notes that a continuation of a running request has ended. */
  endBranch(): void {
    this.#sequences--;
  }

  /** Strikes out a request. */
  remove(state: RequestState): void {
    this.moveOut(state);
    this.waiting.remove(state);
    this.#requests.delete(state.request.id);
  }

  /** The last in rank that runs, if it is behind `state`. */
  lastBehind(state: RequestState): RequestState | undefined {
    const last = this.running.at(-1);
    return last && compareRanks(last, state) > 0 ? last : undefined;
  }
}

/**
 * The live requests: those that run and those that wait.
 *
 * @module
 */

import { compareRanks } from "./policy.ts";
import { RankedList } from "./ranked_list.ts";
import type { RequestState } from "./request_state.ts";

/** Every live request, in one of two queues in rank order. */
export class RequestQueues {
  /** Those with blocks on the device. */
  readonly running: RankedList<RequestState> = new RankedList();
  /** The others: new, preempted or swapped. */
  readonly waiting: RankedList<RequestState> = new RankedList();
  readonly #requests: Map<string, RequestState> = new Map();
  #runningBranches = 0;

  /** All of them, by name. */
  get requests(): ReadonlyMap<string, RequestState> {
    return this.#requests;
  }

  /** How many branches the running requests have that are not finished. */
  get runningBranches(): number {
    return this.#runningBranches;
  }

  /** Says whether a request is live; another may have its name by now. */
  has(state: RequestState): boolean {
    return this.#requests.get(state.request.id) === state;
  }

  /** Adds a new request. */
  add(state: RequestState): void {
    this.#requests.set(state.request.id, state);
    this.waiting.insert(state);
  }

  /** Moves a waiting request to those that run. */
  toRunning(state: RequestState): void {
    this.waiting.remove(state);
    this.running.insert(state);
    this.#runningBranches += state.live.length;
  }

  /** Moves a request to those that wait, if it is not one of them. */
  toWaiting(state: RequestState): void {
    if (!this.running.remove(state)) return;
    this.#runningBranches -= state.live.length;
    this.waiting.insert(state);
  }

  /** Says that a branch of a running request is finished. */
  finishBranch(): void {
    this.#runningBranches--;
  }

  /** Removes a finished request. */
  remove(state: RequestState): void {
    this.toWaiting(state);
    this.waiting.remove(state);
    this.#requests.delete(state.request.id);
  }

  /** The last in rank that runs, if it is behind `state`. */
  lastBehind(state: RequestState): RequestState | undefined {
    const last = this.running.at(-1);
    return last && compareRanks(last, state) > 0 ? last : undefined;
  }
}

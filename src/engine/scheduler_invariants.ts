/**
 * What must hold in a scheduler at any time, as checks over plain state.
 *
 * @module
 */

import type { CacheManager } from "../cache/mod.ts";
import { invariant } from "../core/invariant.ts";
import { compareRanks } from "./policy.ts";
import type { RequestState } from "./request_state.ts";

/** The state of a scheduler. */
export interface SchedulerState {
  /** The cache. */
  readonly cache: CacheManager;
  /** Every live request, by name. */
  readonly requests: ReadonlyMap<string, RequestState>;
  /** Those with blocks on the device. */
  readonly running: readonly RequestState[];
  /** The others. */
  readonly waiting: readonly RequestState[];
  /** Branches that run. */
  readonly runningBranches: number;
  /** The most of them. */
  readonly maxSequences: number;
}

function verifyRequest(state: RequestState, runs: boolean): void {
  const { request: { id, maxTokens }, status, sequences, preempted } = state;
  const held = preempted === undefined ? sequences : [...sequences, preempted];
  invariant(
    runs === (status === "running" || status === "swappingIn"),
    "a request is queued by its status",
    `${id} is ${status}`,
  );
  invariant(
    held.every((sequence) => sequence.status === status),
    "sequences have the status of their request",
    `${id} is ${status}, has ${held.map((sequence) => sequence.status)}`,
  );
  invariant(
    (status === "preempted") === (preempted !== undefined),
    "a preempted request has a sequence to resume",
    `${id} is ${status}`,
  );
  invariant(
    status === "waiting" || status === "preempted"
      ? sequences.length === 0
      : sequences.length === (state.prefix ? 1 : state.live.length),
    "every branch that runs has a sequence",
    `${id} is ${status} with ${sequences.length}`,
  );
  for (const branch of state.live) {
    invariant(
      branch.outputs.length < maxTokens,
      "a branch goes on only below its longest length",
      `${id} has ${branch.outputs.length}`,
    );
    const { sequence } = branch;
    invariant(
      sequence === undefined || sequence.length <= state.known(branch),
      "no more is computed than is known",
      `${id} has ${sequence?.length} of ${state.known(branch)}`,
    );
  }
}

/**
 * Checks the cache, that the queues are in order and hold each request once, and
 * that every sequence of the cache belongs to one request.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyScheduler(scheduler: SchedulerState): void {
  const { cache, requests, running, waiting } = scheduler;
  cache.verify();
  for (const queue of [running, waiting]) {
    queue.forEach((state, i) => {
      const { id } = state.request;
      invariant(
        i === 0 || compareRanks(queue[i - 1], state) < 0,
        "queues are in rank order",
        id,
      );
      invariant(requests.get(id) === state, "queued requests are live", id);
      verifyRequest(state, queue === running);
    });
  }
  invariant(
    running.length + waiting.length === requests.size,
    "every live request is queued",
    `${running.length} and ${waiting.length} of ${requests.size}`,
  );
  const live = running.reduce((sum, state) => sum + state.live.length, 0);
  invariant(
    scheduler.runningBranches === live && live <= scheduler.maxSequences,
    "no more sequences run than may",
    `${live}, counted ${scheduler.runningBranches} of ${scheduler.maxSequences}`,
  );
  const owned = [...running, ...waiting].flatMap((state) =>
    state.preempted ? [state.preempted, ...state.sequences] : state.sequences
  );
  invariant(
    new Set(owned).size === owned.length &&
      owned.length === cache.sequences.length &&
      cache.sequences.every((sequence) => owned.includes(sequence)),
    "every sequence of the cache belongs to one request",
    `${owned.length} of ${cache.sequences.length}`,
  );
}

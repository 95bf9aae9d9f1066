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
  /** Continuations that run. */
  readonly sequences: number;
  /** The most of them. */
  readonly maxSequences: number;
}

/** The statuses that a request's sequences have in its place. */
const STATUS = {
  waiting: "preempted",
  running: "running",
  swapped: "swapped",
  arriving: "swappingIn",
} as const;

function verifyRequest(state: RequestState, listed: boolean): void {
  const { request: { id, maxTokens }, place, sequences, handle } = state;
  const held = handle === undefined ? sequences : [...sequences, handle];
  invariant(
    listed === (place === "running" || place === "arriving"),
    "a request is listed where its blocks are",
    `${id} is ${place}`,
  );
  invariant(
    held.every(({ status }) => status === STATUS[place]),
    "sequences are where their request is",
    `${id} is ${place}, has ${held.map(({ status }) => status)}`,
  );
  invariant(
    place === "waiting"
      ? sequences.length === 0
      : sequences.length === (state.root ? 1 : state.live.length),
    "every continuation that runs has a sequence",
    `${id} is ${place} with ${sequences.length}`,
  );
  for (const branch of state.live) {
    invariant(
      branch.outputs.length < maxTokens,
      "a continuation goes on only below its longest length",
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
 * Checks the cache, that the lists are in order and hold each request once, and
 * that every sequence of the cache belongs to one request.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyScheduler(scheduler: SchedulerState): void {
  const { cache, requests, running, waiting } = scheduler;
  cache.verify();
  for (const list of [running, waiting]) {
    list.forEach((state, i) => {
      const { id } = state.request;
      invariant(
        i === 0 || compareRanks(list[i - 1], state) < 0,
        "lists are in rank order",
        id,
      );
      invariant(requests.get(id) === state, "listed requests are live", id);
      verifyRequest(state, list === running);
    });
  }
  invariant(
    running.length + waiting.length === requests.size,
    "every live request is listed",
    `${running.length} and ${waiting.length} of ${requests.size}`,
  );
  const live = running.reduce((sum, state) => sum + state.live.length, 0);
  invariant(
    scheduler.sequences === live && live <= scheduler.maxSequences,
    "no more sequences run than may",
    `${live}, counted ${scheduler.sequences} of ${scheduler.maxSequences}`,
  );
  const owned = [...running, ...waiting].flatMap((state) =>
    state.handle ? [state.handle, ...state.sequences] : state.sequences
  );
  invariant(
    new Set(owned).size === owned.length &&
      owned.length === cache.sequences.length &&
      cache.sequences.every((sequence) => owned.includes(sequence)),
    "every sequence of the cache belongs to one request",
    `${owned.length} of ${cache.sequences.length}`,
  );
}

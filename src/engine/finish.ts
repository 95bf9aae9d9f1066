/**
 * How requests are finished, or begin again after a failure.
 *
 * @module
 */

import type { ScheduledSequence } from "./in_flight.ts";
import type { FinishedRequest } from "./request.ts";
import type { RequestState } from "./request_state.ts";
import type { SchedulerParts } from "./scheduler_parts.ts";

/** Frees everything that a request holds, and removes it. */
export function finishRequest(
  state: RequestState,
  { queues, memory }: SchedulerParts,
  { reason, error }: Pick<FinishedRequest, "reason" | "error">,
): FinishedRequest {
  memory.freeRequest(state);
  queues.remove(state);
  return state.finished(reason, error);
}

/** Finishes what a step brought to its end. */
export function finishBranches(
  scheduled: readonly ScheduledSequence[],
  parts: SchedulerParts,
): FinishedRequest[] {
  const { queues, memory } = parts;
  const finished: FinishedRequest[] = [];
  for (const state of new Set(scheduled.map((item) => item.state))) {
    if (!queues.has(state)) continue;
    for (const branch of state.branches) {
      if (branch.finishReason === undefined || !branch.sequence) continue;
      memory.freeBranch(branch);
      queues.finishBranch();
    }
    if (state.live.length > 0) continue;
    finished.push(finishRequest(state, parts, { reason: "completed" }));
  }
  return finished;
}

/**
 * Lets failed requests begin again, and finishes those that did so too often.
 */
export function restartFailed(
  failed: ReadonlyMap<RequestState, Error>,
  parts: SchedulerParts,
): FinishedRequest[] {
  const { policy, queues, memory } = parts;
  const finished: FinishedRequest[] = [];
  for (const [state, error] of failed) {
    if (!queues.has(state)) continue;
    memory.discard(state);
    queues.toWaiting(state);
    if (++state.restarts > policy.maxRestarts) {
      finished.push(finishRequest(state, parts, { reason: "failed", error }));
    }
  }
  return finished;
}

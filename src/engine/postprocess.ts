/**
 * What a committed step does to the requests.
 *
 * @module
 */

import { finishBranches, restartFailed } from "./finish.ts";
import type { InFlightStep, ScheduledSequence } from "./in_flight.ts";
import type { CheckedOutcome } from "./outcome.ts";
import type { FinishedRequest } from "./request.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { SchedulerParts } from "./scheduler_parts.ts";
import type { SampleResult } from "./step.ts";

function finishReasonOf(
  { request }: RequestState,
  { outputs }: Branch,
  done: boolean,
): Branch["finishReason"] {
  if (done || request.stop.has(outputs.at(-1)!)) return "stop";
  return outputs.length === request.maxTokens ? "length" : undefined;
}

/** Gives each branch its token behind the common prefix. */
function advancePrefix(state: RequestState, result: SampleResult): void {
  const { live } = state;
  live.forEach((branch, i) => branch.outputs.push(result.tokens[i]));
  for (const branch of live) {
    branch.finishReason = finishReasonOf(state, branch, result.done ?? false);
  }
}

/** Gives a branch its next token. */
function advanceBranch(
  { state, branch }: ScheduledSequence,
  result: SampleResult,
): void {
  branch.outputs.push(result.tokens[0]);
  branch.finishReason = finishReasonOf(state, branch, result.done ?? false);
}

/** Lets every beam go on from its parent; `results` are in their order. */
function advanceBeams(
  state: RequestState,
  results: readonly SampleResult[],
): void {
  const { branches } = state;
  const before = branches.map(({ outputs }) => outputs);
  state.parents = results.map(({ parent }, i) => parent ?? i);
  branches.forEach((branch, i) => {
    branch.outputs = [...before[state.parents![i]], ...results[i].tokens];
  });
  const done = results.some((result) => result.done === true);
  for (const branch of branches) {
    branch.finishReason = finishReasonOf(state, branch, done);
  }
}

/**
 * Commits what a step wrote, and gives every request that it served its tokens;
 * those that failed or finished meanwhile get none.
 */
function advance(
  { scheduled }: InFlightStep,
  { results, failed }: CheckedOutcome,
  { queues, memory }: SchedulerParts,
): void {
  const beams = new Map<RequestState, SampleResult[]>();
  for (const item of scheduled) {
    const { state, end } = item;
    if (!queues.has(state) || failed.has(state)) continue;
    memory.commit(item);
    const result = results.get(item);
    if (state.prefix !== undefined) {
      if (end === state.prefixLength) memory.fork(state);
      if (result) advancePrefix(state, result);
    } else if (item.beamStep) {
      const list = beams.get(state) ?? [];
      list.push(result!);
      beams.set(state, list);
    } else if (result) advanceBranch(item, result);
  }
  for (const [state, list] of beams) advanceBeams(state, list);
}

/**
 * Takes what came of a step.
 *
 * @returns The requests that finished by it.
 */
export function postprocess(
  step: InFlightStep,
  outcome: CheckedOutcome,
  parts: SchedulerParts,
): FinishedRequest[] {
  const { memory } = parts;
  memory.clearSwappingOut();
  const failed = restartFailed(outcome.failed, parts);
  for (const state of step.swappingIn) {
    if (state.status === "swappingIn") memory.completeSwapIn(state);
  }
  advance(step, outcome, parts);
  return [...failed, ...finishBranches(step.scheduled, parts)];
}

/**
 * What sampled tokens do to a request.
 *
 * @module
 */

import type { FlightWork } from "./flight.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { SampleResult } from "./step.ts";

function endOf(
  { request }: RequestState,
  { outputs }: Branch,
  done: boolean,
): Branch["end"] {
  if (done || request.stop.has(outputs.at(-1)!)) return "stop";
  return outputs.length === request.maxTokens ? "length" : undefined;
}

/** Gives each continuation its token behind the common start. */
export function advanceRoot(state: RequestState, result: SampleResult): void {
  const { live } = state;
  live.forEach((branch, i) => branch.outputs.push(result.tokens[i]));
  for (const branch of live) {
    branch.end = endOf(state, branch, result.done ?? false);
  }
}

/** Gives a continuation its next token. */
export function advanceBranch(
  { state, branch }: FlightWork,
  result: SampleResult,
): void {
  branch.outputs.push(result.tokens[0]);
  branch.end = endOf(state, branch, result.done ?? false);
}

/** Lets every beam go on from its parent; `results` are in their order. */
export function advanceBeams(
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
  for (const branch of branches) branch.end = endOf(state, branch, done);
}

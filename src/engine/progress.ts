/**
 * What sampled tokens do to a request.
 *
 * @module
 */

import type { CheckedOutcome, Flight, FlightWork } from "./flight.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { Residency } from "./residency.ts";
import type { Roster } from "./roster.ts";
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
function advanceRoot(state: RequestState, result: SampleResult): void {
  const { live } = state;
  live.forEach((branch, i) => branch.outputs.push(result.tokens[i]));
  for (const branch of live) {
    branch.end = endOf(state, branch, result.done ?? false);
  }
}

/** Gives a continuation its next token. */
function advanceBranch(
  { state, branch }: FlightWork,
  result: SampleResult,
): void {
  branch.outputs.push(result.tokens[0]);
  branch.end = endOf(state, branch, result.done ?? false);
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
  for (const branch of branches) branch.end = endOf(state, branch, done);
}

/** Who is live, and where their sequences are. */
export interface ProgressTargets {
  /** The requests. */
  readonly roster: Roster;
  /** Their sequences. */
  readonly residency: Residency;
}

/**
 * Notes what a step wrote, and gives every request that it served its tokens;
 * those that failed or ended meanwhile get none.
 */
export function advance(
  { works }: Flight,
  { results, failed }: CheckedOutcome,
  { roster, residency }: ProgressTargets,
): void {
  const beams = new Map<RequestState, SampleResult[]>();
  for (const item of works) {
    const { state, sequence, end } = item;
    if (!roster.has(state) || failed.has(state)) continue;
    residency.written(sequence, end, item.work.blocks);
    const result = results.get(item);
    if (state.root !== undefined) {
      if (end === state.rootLength) residency.fork(state);
      if (result) advanceRoot(state, result);
    } else if (item.joint) {
      const list = beams.get(state) ?? [];
      list.push(result!);
      beams.set(state, list);
    } else if (result) advanceBranch(item, result);
  }
  for (const [state, list] of beams) advanceBeams(state, list);
}

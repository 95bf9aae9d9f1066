/**
 * Whether what is said of a step in flight can be true.
 *
 * @module
 */

import { checkTokens } from "../core/tokens.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import type { InFlightStep, ScheduledSequence } from "./in_flight.ts";
import type { RequestState } from "./request_state.ts";
import type { SampleResult, StepOutcome } from "./step.ts";

/** A checked outcome. */
export interface CheckedOutcome {
  /** What was sampled for each sequence that has samples, if it counts. */
  readonly results: ReadonlyMap<ScheduledSequence, SampleResult>;
  /** The requests whose part went wrong. */
  readonly failed: ReadonlyMap<RequestState, Error>;
}

function checkResult(
  name: string,
  result: SampleResult,
  { state, work }: ScheduledSequence,
): void {
  const { tokens, parent, done = false } = result;
  checkTokens(tokens);
  checkRange(
    tokens.length === work.samples,
    `${name}.tokens.length`,
    `must be the samples of the work, ${work.samples}`,
    tokens.length,
  );
  checkType(
    parent === undefined || state.request.beamSearch,
    `${name}.parent`,
    "must not be set but for beams",
    parent,
  );
  if (parent !== undefined) {
    checkInteger(`${name}.parent`, parent, 0, state.request.width - 1);
  }
  checkType(
    typeof done === "boolean",
    `${name}.done`,
    "must be a boolean",
    done,
  );
}

function checkFailed(
  step: InFlightStep,
  { failed = [] }: StepOutcome,
): Map<RequestState, Error> {
  checkType(Array.isArray(failed), "failed", "must be an array", failed);
  return new Map(failed.map(({ request, error }, i) => {
    const state = step.states.get(request);
    const name = `failed[${i}].request`;
    checkType(state !== undefined, name, "must be in the step", request);
    checkType(
      error instanceof Error,
      `failed[${i}].error`,
      "must be an Error",
      error,
    );
    return [state, error];
  }));
}

/**
 * Checks that an outcome says of each work that counts what was sampled, once.
 *
 * @param counts Whether a request is still live.
 * @throws {TypeError} if something is of the wrong type, no part of the step,
 * missing, or named twice.
 * @throws {RangeError} if a token, a parent or a number of tokens is out of its
 * range.
 */
export function checkOutcome(
  step: InFlightStep,
  outcome: StepOutcome,
  counts: (state: RequestState) => boolean,
): CheckedOutcome {
  checkType(
    Array.isArray(outcome.results),
    "results",
    "must be an array",
    outcome.results,
  );
  const sampled = new Map<string, Map<number, ScheduledSequence>>();
  for (const item of step.scheduled) {
    if (item.work.samples === 0) continue;
    const { id } = item.state.request;
    const branches = sampled.get(id) ?? new Map<number, ScheduledSequence>();
    sampled.set(id, branches.set(item.branch.index, item));
  }
  const results = new Map<ScheduledSequence, SampleResult>();
  outcome.results.forEach((result, i) => {
    const { request, branch = 0 } = result;
    const item = sampled.get(request)?.get(branch);
    const name = `results[${i}]`;
    checkType(
      item !== undefined,
      name,
      "must be of a work with samples",
      `${request}, branch ${branch}`,
    );
    checkType(!results.has(item), name, "must not come twice", request);
    checkResult(name, result, item);
    results.set(item, { ...result, tokens: [...result.tokens] });
  });
  const failed = checkFailed(step, outcome);
  for (const item of step.scheduled) {
    const { state, branch, work } = item;
    checkType(
      work.samples === 0 || results.has(item) || failed.has(state) ||
        !counts(state),
      "results",
      "must have one for each work with samples",
      `none for ${state.request.id}, branch ${branch.index}`,
    );
  }
  return { results, failed };
}

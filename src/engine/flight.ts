/**
 * A step that was handed out, and whether what is said of it can be true.
 *
 * @module
 */

import type { CacheSequence } from "../cache/mod.ts";
import { checkTokens } from "../core/tokens.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { SampleResult, SequenceWork, StepOutcome } from "./step.ts";

/** One work of a step, as the scheduler knows it. */
export interface FlightWork {
  /** The request. */
  readonly state: RequestState;
  /** The continuation. */
  readonly branch: Branch;
  /** Its sequence. */
  readonly sequence: CacheSequence;
  /** The sequence's length before the step. */
  readonly start: number;
  /** Its length after the step. */
  readonly end: number;
  /** Tokens to be sampled. */
  readonly samples: number;
  /** Whether it is a beam that advances with its request's others. */
  readonly joint: boolean;
  /** What was handed out. */
  readonly work: SequenceWork;
}

/** A step under way. */
export interface Flight {
  /** Its work. */
  readonly works: readonly FlightWork[];
  /** Requests that come back from host memory. */
  readonly arrivals: readonly RequestState[];
  /** Every request that the step works on or moves, by name. */
  readonly states: ReadonlyMap<string, RequestState>;
}

/** A checked outcome. */
export interface CheckedOutcome {
  /** What was sampled for each work that has samples, if it counts. */
  readonly results: ReadonlyMap<FlightWork, SampleResult>;
  /** The requests whose part went wrong. */
  readonly failed: ReadonlyMap<RequestState, Error>;
}

function checkResult(name: string, result: SampleResult, to: FlightWork): void {
  const { tokens, parent, done = false } = result;
  checkTokens(tokens);
  checkRange(
    tokens.length === to.samples,
    `${name}.tokens.length`,
    `must be the samples of the work, ${to.samples}`,
    tokens.length,
  );
  checkType(
    parent === undefined || to.state.request.joint,
    `${name}.parent`,
    "must not be set but for beams",
    parent,
  );
  if (parent !== undefined) {
    checkInteger(`${name}.parent`, parent, 0, to.state.request.width - 1);
  }
  checkType(
    typeof done === "boolean",
    `${name}.done`,
    "must be a boolean",
    done,
  );
}

function checkFailed(
  flight: Flight,
  { failed = [] }: StepOutcome,
): Map<RequestState, Error> {
  checkType(Array.isArray(failed), "failed", "must be an array", failed);
  return new Map(failed.map(({ request, error }, i) => {
    const state = flight.states.get(request);
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
  flight: Flight,
  outcome: StepOutcome,
  counts: (state: RequestState) => boolean,
): CheckedOutcome {
  checkType(
    Array.isArray(outcome.results),
    "results",
    "must be an array",
    outcome.results,
  );
  const sampled = new Map<string, Map<number, FlightWork>>();
  for (const work of flight.works) {
    if (work.samples === 0) continue;
    const { id } = work.state.request;
    const branches = sampled.get(id) ?? new Map<number, FlightWork>();
    sampled.set(id, branches.set(work.branch.index, work));
  }
  const results = new Map<FlightWork, SampleResult>();
  outcome.results.forEach((result, i) => {
    const { request, branch = 0 } = result;
    const work = sampled.get(request)?.get(branch);
    const name = `results[${i}]`;
    checkType(
      work !== undefined,
      name,
      "must be of a work with samples",
      `${request}, branch ${branch}`,
    );
    checkType(!results.has(work), name, "must not come twice", request);
    checkResult(name, result, work);
    results.set(work, { ...result, tokens: [...result.tokens] });
  });
  const failed = checkFailed(flight, outcome);
  for (const work of flight.works) {
    const { id } = work.state.request;
    checkType(
      work.samples === 0 || results.has(work) || failed.has(work.state) ||
        !counts(work.state),
      "results",
      "must have one for each work with samples",
      `none for ${id}, branch ${work.branch.index}`,
    );
  }
  return { results, failed };
}

/**
 * What a scheduler keeps of a step while it is in flight.
 *
 * @module
 */

import type { Branch, RequestState } from "./request_state.ts";
import type { SequenceWork } from "./step.ts";

/** One sequence of a step, as the scheduler knows it. */
export interface ScheduledSequence {
  /** The request. */
  readonly state: RequestState;
  /** The branch; the first one for a common prefix. */
  readonly branch: Branch;
  /** The sequence's length after the step. */
  readonly end: number;
  /** Whether it is a beam that advances with its request's others. */
  readonly beamStep: boolean;
  /** What the caller is given. */
  readonly work: SequenceWork;
}

/** A step in flight: scheduled, and not committed yet. */
export interface InFlightStep {
  /** The sequences that compute tokens. */
  readonly scheduled: readonly ScheduledSequence[];
  /** Requests that are swapped in. */
  readonly swappingIn: readonly RequestState[];
  /** Every request that the step computes or swaps, by name. */
  readonly states: ReadonlyMap<string, RequestState>;
}

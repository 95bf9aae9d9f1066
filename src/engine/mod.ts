/**
 * The scheduler: which tokens of which requests are computed next, in which
 * blocks. Headless: no device, no clock, no model.
 *
 * @module
 */

export type { SchedulerPolicy } from "./policy.ts";
export type {
  FinishedBranch,
  FinishedRequest,
  FinishReason,
  RequestOptions,
} from "./request.ts";
export { Scheduler, type SchedulerOptions } from "./scheduler.ts";
export type {
  Preemption,
  RequestFailure,
  SampleResult,
  SequenceWork,
  Step,
  StepOperation,
  StepOutcome,
} from "./step.ts";
export { OutOfBlocksError } from "../core/errors.ts";

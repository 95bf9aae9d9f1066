/**
 * One iteration: what is to be done, and what came of it.
 *
 * @module
 */

import type {
  CacheSequence,
  GroupCopy,
  StatePart,
  SwapTransfer,
} from "../cache/mod.ts";
import type { FinishedRequest } from "./request.ts";

/**
 * Something to carry out before a step's tokens are computed.
 *
 * @category Scheduling
 */
export type StepOperation =
  | {
    /** Rows of a block are copied to another on the device. */
    readonly type: "copy";
    /** The request whose block is written. */
    readonly request: string;
    /** The copy. */
    readonly copy: GroupCopy;
  }
  | {
    /**
     * A request's blocks, and states, are copied to host memory or back from
     * there.
     */
    readonly type: "swap";
    /** The request. */
    readonly request: string;
    /** The copies. */
    readonly transfer: SwapTransfer;
  };

/**
 * The tokens of one sequence that a step computes.
 *
 * @category Scheduling
 */
export interface SequenceWork {
  /** The request. */
  readonly request: string;
  /** Which of its branches. */
  readonly branch: number;
  /**
   * Its sequence, these tokens included: what attention reads once their keys
   * and values are written. It is freed if the request is aborted.
   */
  readonly sequence: CacheSequence;
  /** The tokens, in order. */
  readonly tokens: readonly number[];
  /** The position of the first; those of the others follow. */
  readonly start: number;
  /**
   * For each layer group with keys, the slot that each token's key and value go
   * to.
   */
  readonly slots: readonly Uint32Array[];
  /**
   * For each layer group with keys, the blocks of the sequence, the new ones
   * included.
   */
  readonly blocks: readonly (readonly number[])[];
  /**
   * For each layer group with a state, the slots that it is read from and
   * written to, part by part; only where there is such a group.
   */
  readonly states?: readonly (readonly StatePart[])[];
  /**
   * How many tokens are to be sampled from the last one's logits: 0 where the
   * sequence has more known tokens to come, else 1; at a prompt's end as many
   * as the request has branches.
   */
  readonly samples: number;
}

/**
 * A running request that was preempted.
 *
 * @category Scheduling
 */
export interface Preemption {
  /** The request. */
  readonly request: string;
  /** Whether its blocks go to host memory, or are computed again. */
  readonly by: "swap" | "recompute";
}

/**
 * What one iteration does, in this order.
 *
 * @category Scheduling
 */
export interface Step {
  /** Iterations before this one. */
  readonly iteration: number;
  /** Copies, each to be carried out before the next and before any work. */
  readonly operations: readonly StepOperation[];
  /** What to compute, in rank order. */
  readonly work: readonly SequenceWork[];
  /** Tokens of all work together. */
  readonly tokens: number;
  /** Who was preempted. */
  readonly preempted: readonly Preemption[];
  /** Who failed for want of blocks, with no one left to preempt. */
  readonly finished: readonly FinishedRequest[];
  /**
   * Blocks that requests freed since the last step and that no one took since. A prefix index may still find some of them.
   */
  readonly freed: readonly number[];
}

/**
 * What was sampled for one {@linkcode SequenceWork}.
 *
 * @category Scheduling
 */
export interface SampleResult {
  /** The request. */
  readonly request: string;
  /** Which of its branches. Defaults to 0. */
  readonly branch?: number;
  /** As many tokens as {@linkcode SequenceWork.samples} says. */
  readonly tokens: readonly number[];
  /**
   * Beams only: the branch that this one goes on from, by the number it had in
   * the step. Defaults to itself.
   */
  readonly parent?: number;
  /**
   * Whether the branch is finished by these tokens, for example as its text
   * has a stop string. One beam that says so finishes all.
   */
  readonly done?: boolean;
}

/**
 * A request whose part in a step went wrong.
 *
 * @category Scheduling
 */
export interface RequestFailure {
  /** The request, which may also only have been swapped. */
  readonly request: string;
  /** What went wrong. */
  readonly error: Error;
}

/**
 * What came of a step.
 *
 * @category Scheduling
 */
export interface StepOutcome {
  /** One result for each work that has samples, in any order. */
  readonly results: readonly SampleResult[];
  /** Requests of which nothing that the step did can be used. */
  readonly failed?: readonly RequestFailure[];
}

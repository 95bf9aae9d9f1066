/**
 * Who is served before whom, and how much of a step each gets.
 *
 * @module
 */

import { checkInteger, checkRange } from "../core/check.ts";
import { checkOptions, type OptionHints } from "../core/options.ts";

/**
 * How a scheduler fills its steps.
 *
 * @category Scheduling
 */
export interface SchedulerPolicy {
  /** The most tokens of one step. Defaults to 2048. */
  readonly tokenBudget?: number;
  /** The most sequences that run at once. Defaults to 256. */
  readonly maxSequences?: number;
  /**
   * The most tokens of one sequence in one step, so that a long prompt leaves
   * room for others. Defaults to the token budget.
   */
  readonly longPrefill?: number;
  /**
   * How many iterations one level of priority is worth: a request is overtaken
   * by those of a level less only if they arrive less than this after it.
   * `Infinity` makes priorities strict, 0 makes them void. Defaults to 1000.
   */
  readonly aging?: number;
  /**
   * What becomes of a preempted request's blocks: with `"swap"` they go to host
   * memory as long as there is room. Defaults to `"recompute"`.
   */
  readonly preemption?: "recompute" | "swap";
  /**
   * How often a request that failed begins again before it is finished with
   * the error. Defaults to 3.
   */
  readonly maxRestarts?: number;
}

const POLICY = [
  "tokenBudget",
  "maxSequences",
  "longPrefill",
  "aging",
  "preemption",
  "maxRestarts",
];

const HINTS: OptionHints = {
  maxNumBatchedTokens: "write tokenBudget",
  maxNumSeqs: "write maxSequences",
  chunkSize: "write longPrefill",
  longPrefillTokenThreshold: "write longPrefill",
  preemptionMode: "write preemption",
};

/** A policy with everything filled in. */
export type FullPolicy = Required<SchedulerPolicy>;

/**
 * Checks a policy and fills it in.
 *
 * @throws {TypeError} if a field is of the wrong type.
 * @throws {RangeError} if a field is out of its range.
 */
export function checkPolicy(policy: SchedulerPolicy): FullPolicy {
  checkOptions("a scheduler", policy, { known: POLICY, hints: HINTS });
  const { tokenBudget = 2048, maxSequences = 256, aging = 1000 } = policy;
  const { preemption = "recompute", maxRestarts = 3 } = policy;
  checkInteger("tokenBudget", tokenBudget, 1);
  const { longPrefill = tokenBudget } = policy;
  checkInteger("maxSequences", maxSequences, 1);
  checkInteger("longPrefill", longPrefill, 1);
  if (aging !== Infinity) checkInteger("aging", aging, 0);
  checkRange(
    preemption === "recompute" || preemption === "swap",
    "preemption",
    'must be "recompute" or "swap"',
    preemption,
  );
  if (maxRestarts !== Infinity) checkInteger("maxRestarts", maxRestarts, 0);
  return {
    tokenBudget,
    maxSequences,
    longPrefill,
    aging,
    preemption,
    maxRestarts,
  };
}

/** A position in the order of service, which never changes. */
export interface Rank {
  /** The smaller, the sooner. */
  readonly key: number;
  /** Arrivals before this one, which decide between equal keys. */
  readonly arrival: number;
}

/**
 * The key of a request that arrives in `iteration`. As everyone ages at the
 * same pace, who is ahead is settled on arrival.
 */
export function rankKey(
  priority: number,
  iteration: number,
  aging: number,
): number {
  return aging === Infinity ? priority : iteration + priority * aging;
}

/** Negative if `a` is ahead of `b`. */
export function compareRanks(a: Rank, b: Rank): number {
  return a.key - b.key || a.arrival - b.arrival;
}

/** What is left of a step. */
export interface TokenBudget {
  /** Tokens. */
  readonly left: number;
  /** Sequences further behind that wait for one token each. */
  readonly decoding: number;
}

/**
 * The most tokens that a sequence with more than one to come gets: what is left
 * of the budget, less a token for each sequence behind it that decodes, so that
 * a prompt does not hold those up. Half the budget is never withheld, so that
 * many of those do not hold up the prompt either.
 */
export function prefillLimit(
  policy: FullPolicy,
  { left, decoding }: TokenBudget,
): number {
  const withheld = Math.min(decoding, Math.floor(policy.tokenBudget / 2));
  return Math.max(1, Math.min(policy.longPrefill, left - withheld));
}

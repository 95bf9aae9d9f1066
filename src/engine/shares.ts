/**
 * What one request does in one step.
 *
 * @module
 */

import type { CacheSequence } from "../cache/mod.ts";
import { type FullPolicy, prefillLimit } from "./policy.ts";
import type { Branch, RequestState } from "./request_state.ts";

/** The tokens that one sequence gets. */
export interface Share {
  /** The continuation, the first one for a common start. */
  readonly branch: Branch;
  /** The sequence. */
  readonly sequence: CacheSequence;
  /** Tokens, at least 1. */
  readonly count: number;
  /** Tokens to sample behind the last. */
  readonly samples: number;
}

/** What is left of a step. */
export interface Budget {
  /** Tokens. */
  readonly left: number;
  /** Sequences further behind that wait for one token each. */
  readonly decoding: number;
}

/** The shares of a request, all to be had at once if they are `joint`. */
export interface Shares {
  /** The sequences that get tokens; none if the budget does not suffice. */
  readonly shares: readonly Share[];
  /** Whether these are beams, which only advance together. */
  readonly joint: boolean;
}

/** Shares out what is left of a step to the sequences of a running request. */
export function sharesOf(
  state: RequestState,
  policy: FullPolicy,
  { left, decoding }: Budget,
): Shares {
  const { root, live } = state;
  const cut = (needed: number, rest: number) =>
    Math.min(needed, prefillLimit(policy, { left: rest, decoding }));
  if (root !== undefined) {
    const needed = state.rootLength - root.length;
    const count = cut(needed, left);
    const samples = count === needed ? state.rootSamples : 0;
    const share = { branch: live[0], sequence: root, count, samples };
    return { shares: [share], joint: false };
  }
  const needs = live.map((b) => state.known(b) - b.sequence!.length);
  const joint = state.request.joint && needs.every((needed) => needed === 1);
  if (joint && left < live.length) return { shares: [], joint };
  const shares: Share[] = [];
  let rest = left;
  live.forEach((branch, i) => {
    // Beams that still differ in what they lack wait with their last tokens.
    const needed = needs[i] - (state.request.joint && !joint ? 1 : 0);
    if (needed === 0 || rest === 0) return;
    const count = cut(needed, rest);
    rest -= count;
    const samples = count === needs[i] ? 1 : 0;
    shares.push({ branch, sequence: branch.sequence!, count, samples });
  });
  return { shares, joint };
}

/**
 * How many tokens of a step each sequence of a request computes.
 *
 * @module
 */

import type { CacheSequence } from "../cache/mod.ts";
import { type FullPolicy, prefillLimit, type TokenBudget } from "./policy.ts";
import type { Branch, RequestState } from "./request_state.ts";

/** The tokens that one sequence computes in a step. */
export interface Chunk {
  /** The branch; the first one for a common prefix. */
  readonly branch: Branch;
  /** The sequence. */
  readonly sequence: CacheSequence;
  /** Tokens, at least 1. */
  readonly count: number;
  /** Tokens to sample behind the last. */
  readonly samples: number;
}

/** The chunks of one request. */
export interface RequestChunks {
  /** One for each sequence; none if the budget does not suffice. */
  readonly chunks: readonly Chunk[];
  /** Whether these are all beams, which advance together or not at all. */
  readonly beamStep: boolean;
}

/** Divides what is left of a step's budget among a running request's sequences. */
export function chunksWithin(
  state: RequestState,
  policy: FullPolicy,
  { left, decoding }: TokenBudget,
): RequestChunks {
  const { prefix, live } = state;
  const cut = (needed: number, rest: number) =>
    Math.min(needed, prefillLimit(policy, { left: rest, decoding }));
  if (prefix !== undefined) {
    const needed = state.prefixLength - prefix.length;
    const count = cut(needed, left);
    const samples = count === needed ? state.prefixSamples : 0;
    const chunk = { branch: live[0], sequence: prefix, count, samples };
    return { chunks: [chunk], beamStep: false };
  }
  const { beamSearch } = state.request;
  const needs = live.map((b) => state.known(b) - b.sequence!.length);
  const beamStep = beamSearch && needs.every((needed) => needed === 1);
  if (beamStep && left < live.length) return { chunks: [], beamStep };
  const chunks: Chunk[] = [];
  let rest = left;
  live.forEach((branch, i) => {
    // Beams that still differ in what they lack wait with their last tokens.
    const needed = needs[i] - (beamSearch && !beamStep ? 1 : 0);
    if (needed === 0 || rest === 0) return;
    const count = cut(needed, rest);
    rest -= count;
    const samples = count === needs[i] ? 1 : 0;
    chunks.push({ branch, sequence: branch.sequence!, count, samples });
  });
  return { chunks, beamStep };
}

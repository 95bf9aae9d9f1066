/**
 * What a scheduler is asked for, and what it says when that is finished.
 *
 * @module
 */

import type { CacheManager, PrefixDomain } from "../cache/mod.ts";
import { copyDomain } from "../cache/manager/manager_checks.ts";
import { checkTokens } from "../core/tokens.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { checkOptions, type OptionHints } from "../core/options.ts";
import type { FullPolicy } from "./policy.ts";

/**
 * One prompt and how it is to be continued.
 *
 * @category Scheduling
 */
export interface RequestOptions {
  /** The request's name, which no other live request has. */
  readonly id: string;
  /** The prompt's tokens, at least one. */
  readonly prompt: readonly number[];
  /** The most tokens of each branch, at least 1. */
  readonly maxTokens: number;
  /**
   * Tokens that finish a branch, themselves included. Not for beams, whose
   * caller says when they are done. None by default.
   */
  readonly stop?: readonly number[];
  /** The smaller, the sooner it is served. Defaults to 0. */
  readonly priority?: number;
  /** Branches sampled on their own. Defaults to 1; not with `beams`. */
  readonly samples?: number;
  /** Branches of a beam search, which advance together. */
  readonly beams?: number;
  /** What keeps the request's cached blocks apart from others'. */
  readonly domain?: PrefixDomain;
}

const REQUEST = [
  "id",
  "prompt",
  "maxTokens",
  "stop",
  "priority",
  "samples",
  "beams",
  "domain",
];

const HINTS: OptionHints = {
  requestId: "write id",
  n: "write samples",
  tokens: "write prompt",
  promptTokens: "write prompt",
  maxNewTokens: "write maxTokens",
  stopTokens: "write stop",
  eos: "write stop",
  eosTokenId: "write stop",
  numBeams: "write beams",
  beamWidth: "write beams",
};

/**
 * Why a branch is finished.
 *
 * @category Scheduling
 */
export type FinishReason = "stop" | "length" | "aborted" | "failed";

/**
 * One branch of a finished request: a continuation of its prompt.
 *
 * @category Scheduling
 */
export interface FinishedBranch {
  /** Its tokens, without the prompt. */
  readonly tokens: readonly number[];
  /**
   * `"stop"`: a stop token, or the caller said that it is done; `"length"`:
   * `maxTokens`; `"aborted"` or `"failed"`: with its request.
   */
  readonly reason: FinishReason;
}

/**
 * A finished request; its name is free again.
 *
 * @category Scheduling
 */
export interface FinishedRequest {
  /** Its name. */
  readonly id: string;
  /** `"completed"` if every branch finished by itself. */
  readonly reason: "completed" | "aborted" | "failed";
  /** Its branches, those that finished before it included. */
  readonly branches: readonly FinishedBranch[];
  /** Why it failed. */
  readonly error?: Error;
}

/** A checked request, of which the caller holds no part. */
export interface Request {
  /** As {@linkcode RequestOptions} has it. */
  readonly id: string;
  /** As {@linkcode RequestOptions} has it. */
  readonly prompt: readonly number[];
  /** As {@linkcode RequestOptions} has it. */
  readonly maxTokens: number;
  /** As {@linkcode RequestOptions} has it. */
  readonly stop: ReadonlySet<number>;
  /** As {@linkcode RequestOptions} has it. */
  readonly priority: number;
  /** Branches in all. */
  readonly width: number;
  /** Whether they are beams, which advance together. */
  readonly beamSearch: boolean;
  /** As {@linkcode RequestOptions} has it. */
  readonly domain: PrefixDomain;
}

/**
 * Checks a request and copies it.
 *
 * @throws {TypeError} if a field is of the wrong type, or samples and beams, or
 * beams and stop tokens, are asked for at once.
 * @throws {RangeError} if the prompt is empty, a token is not an integer in
 * `0..2**32 - 1`, `priority` is no integer, a count is not an integer >= 1, or
 * a number of the domain is not finite.
 */
export function checkRequest(options: RequestOptions): Request {
  checkOptions("a request", options, { known: REQUEST, hints: HINTS });
  const { id, prompt, maxTokens, stop = [], priority = 0 } = options;
  const { samples, beams, domain = {} } = options;
  checkType(typeof id === "string", "id", "must be a string", id);
  checkTokens(prompt);
  checkRange(prompt.length > 0, "prompt", "must not be empty", prompt);
  checkInteger("maxTokens", maxTokens, 1);
  checkTokens(stop);
  checkInteger("priority", priority, Number.MIN_SAFE_INTEGER);
  if (samples !== undefined) checkInteger("samples", samples, 1);
  if (beams !== undefined) {
    checkInteger("beams", beams, 1);
    checkType(samples === undefined, "samples", "must not be set", samples);
    checkType(stop.length === 0, "stop", "must be empty for beams", stop);
  }
  return {
    id,
    prompt: [...prompt],
    maxTokens,
    stop: new Set(stop),
    priority,
    width: beams ?? samples ?? 1,
    beamSearch: beams !== undefined,
    domain: copyDomain(domain),
  };
}

/**
 * Throws unless a request can be completed when it is alone.
 *
 * @throws {RangeError} if it has more branches than run at once, or one of
 * them is longer than the cache has room for, or has more states.
 */
export function checkFits(
  { prompt, maxTokens, width }: Request,
  cache: CacheManager,
  { maxSequences, tokenBudget, longPrefill }: FullPolicy,
): void {
  checkInteger("width", width, 1, Math.min(maxSequences, tokenBudget));
  // The last token is sampled, and never computed.
  const length = prompt.length + maxTokens - 1;
  const chunk = Math.min(longPrefill, tokenBudget);
  const room = cache.pool.totalBlocks - cache.watermarkBlocks;
  checkRange(
    length <= cache.maxLength && cache.peakBlocks(length, { chunk }) <= room,
    "prompt.length + maxTokens - 1",
    "must fit in the cache",
    length,
  );
  const { statePool, stateGroups, watermarkStates } = cache;
  const states = (statePool?.totalBlocks ?? 0) - watermarkStates;
  checkRange(
    stateGroups <= states,
    "the layer groups with a state",
    `must fit in the ${states} slots that the cache has for a sequence`,
    stateGroups,
  );
}

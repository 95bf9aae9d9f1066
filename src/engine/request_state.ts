/**
 * What a scheduler keeps of a request.
 *
 * @module
 */

import type { CacheSequence, SwapTransfer } from "../cache/mod.ts";
import type { Rank } from "./policy.ts";
import type { FinishedRequest, FinishReason, Request } from "./request.ts";

/**
 * Where a live request's blocks are:
 *
 * - `"waiting"`: nowhere yet;
 * - `"running"`: on the device;
 * - `"preempted"`: nowhere any longer; they are computed again;
 * - `"swapped"`: in host memory;
 * - `"swappingIn"`: on the way back from there.
 */
export type RequestStatus =
  | "waiting"
  | "running"
  | "preempted"
  | "swapped"
  | "swappingIn";

/** One continuation of a prompt: a sample, or a beam. */
export interface Branch {
  /** Its number in the request. */
  readonly index: number;
  /** Its tokens behind the prompt. */
  outputs: number[];
  /** Its keys and values, once it has its own. */
  sequence: CacheSequence | undefined;
  /** Why it is finished, once it is. */
  finishReason: FinishReason | undefined;
}

/**
 * A live request. While it runs, either one sequence computes the prefix that
 * all of its branches have in common, or each of these has a sequence of its
 * own.
 */
export class RequestState implements Rank {
  /** The request. */
  readonly request: Request;
  /** Its key in the order of service. */
  readonly key: number;
  /** Requests that arrived before it. */
  readonly arrival: number;
  /** Its branches. */
  readonly branches: readonly Branch[];
  /** Where its blocks are. */
  status: RequestStatus = "waiting";
  /** The sequence of the common prefix, until that is computed. */
  prefix: CacheSequence | undefined;
  /** Tokens of the common prefix. */
  prefixLength = 0;
  /** The sequence to resume, of a preempted request. */
  preempted: CacheSequence | undefined;
  /** For each beam the one that it goes on from, until the cache knows it. */
  parents: readonly number[] | undefined;
  /** The transfer of a request that is swapped in. */
  transfer: SwapTransfer | undefined;
  /** How often it began again after a failure. */
  restarts = 0;

  /** Makes a request that waits. */
  constructor(request: Request, rank: Rank) {
    this.request = request;
    this.key = rank.key;
    this.arrival = rank.arrival;
    this.branches = Array.from({ length: request.width }, (_, index) => ({
      index,
      outputs: [],
      sequence: undefined,
      finishReason: undefined,
    }));
  }

  /** The branches that are not finished. */
  get live(): Branch[] {
    return this.branches.filter((b) => b.finishReason === undefined);
  }

  /** The sequences that have blocks, on the device or in host memory. */
  get sequences(): CacheSequence[] {
    if (this.prefix !== undefined) return [this.prefix];
    return this.branches.flatMap(({ sequence }) => sequence ?? []);
  }

  /** How many tokens of a branch are known, the prompt's included. */
  known(branch: Branch): number {
    return this.request.prompt.length + branch.outputs.length;
  }

  /** `count` known tokens of a branch from position `start` on. */
  tokens(branch: Branch, start: number, count: number): number[] {
    const { prompt } = this.request;
    const end = start + count;
    const after = Math.max(0, end - prompt.length);
    return [
      ...prompt.slice(start, end),
      ...branch.outputs.slice(Math.max(0, start - prompt.length), after),
    ];
  }

  /**
   * How many tokens all branches have in common: all that are known where they
   * are one; else each keeps a token of its own, whose logits it needs.
   */
  commonLength(): number {
    const [first, ...others] = this.live;
    if (others.length === 0 || first.outputs.length === 0) {
      return this.known(first);
    }
    const most = Math.min(...this.live.map((b) => b.outputs.length)) - 1;
    let common = 0;
    while (
      common < most &&
      others.every((b) => b.outputs[common] === first.outputs[common])
    ) common++;
    return this.request.prompt.length + common;
  }

  /** How many tokens are sampled behind the common prefix. */
  get prefixSamples(): number {
    const { live } = this;
    if (live[0].outputs.length === 0) return this.request.width;
    return live.length === 1 ? 1 : 0;
  }

  /** How many sequences wait for one token only, when this runs. */
  get decoding(): number {
    if (this.prefix !== undefined) return 0;
    return this.live.reduce(
      (sum, b) => sum + (this.known(b) - b.sequence!.length === 1 ? 1 : 0),
      0,
    );
  }

  /** What is said of the request once it is finished. */
  finished(reason: FinishedRequest["reason"], error?: Error): FinishedRequest {
    return {
      id: this.request.id,
      reason,
      branches: this.branches.map(({ outputs, finishReason }) => ({
        tokens: [...outputs],
        // One that did not finish by itself shares its request's reason.
        reason: finishReason ?? (reason === "aborted" ? "aborted" : "failed"),
      })),
      ...(error === undefined ? {} : { error }),
    };
  }
}

/**
 * What a scheduler keeps of a request.
 *
 * @module
 */

import type { CacheSequence, SwapTransfer } from "../cache/mod.ts";
import type { Rank } from "./policy.ts";
import type { BranchEnd, EndedRequest, Request } from "./request.ts";

/**
 * Where a request's blocks are: nowhere, on the device, in host memory, or on
 * the way back from there.
 */
export type Place = "waiting" | "running" | "swapped" | "arriving";

/** One continuation. */
export interface Branch {
  /** Its number in the request. */
  readonly index: number;
  /** Its tokens behind the prompt. */
  outputs: number[];
  /** Its keys and values, once it has its own. */
  sequence: CacheSequence | undefined;
  /** Why it ended. */
  end: BranchEnd | undefined;
}

/**
 * A live request. While it runs, either its root computes what all of its
 * continuations have in common, or each of these has a sequence of its own.
 */
export class RequestState implements Rank {
  /** The request. */
  readonly request: Request;
  /** Its place in the order of service. */
  readonly key: number;
  /** Requests that arrived before it. */
  readonly arrival: number;
  /** Its continuations. */
  readonly branches: readonly Branch[];
  /** Where its blocks are. */
  place: Place = "waiting";
  /** The sequence of the common start, until that is computed. */
  root: CacheSequence | undefined;
  /** Tokens of the common start. */
  rootLength = 0;
  /** A preempted sequence, to be resumed. */
  handle: CacheSequence | undefined;
  /** For each beam the one that it goes on from, until the cache knows it. */
  parents: readonly number[] | undefined;
  /** The way back from host memory. */
  transfer: SwapTransfer | undefined;
  /** How often its work was lost. */
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
      end: undefined,
    }));
  }

  /** The continuations that go on. */
  get live(): Branch[] {
    return this.branches.filter(({ end }) => end === undefined);
  }

  /** The sequences that have blocks, on the device or in host memory. */
  get sequences(): CacheSequence[] {
    if (this.root !== undefined) return [this.root];
    return this.branches.flatMap(({ sequence }) => sequence ?? []);
  }

  /** How many tokens of a continuation are known, the prompt's included. */
  known(branch: Branch): number {
    return this.request.prompt.length + branch.outputs.length;
  }

  /** `count` known tokens of a continuation from position `start` on. */
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
   * How many tokens all continuations have in common: all that are known where
   * they are one; else each keeps a token of its own, whose logits it needs.
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

  /** How many tokens are sampled behind the common start. */
  get rootSamples(): number {
    const { live } = this;
    if (live[0].outputs.length === 0) return this.request.width;
    return live.length === 1 ? 1 : 0;
  }

  /** How many sequences wait for one token only, when this runs. */
  get decoding(): number {
    if (this.root !== undefined) return 0;
    return this.live.reduce(
      (sum, b) => sum + (this.known(b) - b.sequence!.length === 1 ? 1 : 0),
      0,
    );
  }

  /** What is said of the request when it ended. */
  ended(reason: EndedRequest["reason"], error?: Error): EndedRequest {
    return {
      id: this.request.id,
      reason,
      branches: this.branches.map(({ outputs, end }) => ({
        tokens: [...outputs],
        // One that did not come to its own end shares its request's.
        reason: end ?? (reason === "aborted" ? "aborted" : "failed"),
      })),
      ...(error === undefined ? {} : { error }),
    };
  }
}

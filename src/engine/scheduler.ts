/**
 * Decides, iteration by iteration, what is computed next.
 *
 * @module
 */

import { Batch } from "./batch.ts";
import { CacheManager } from "../cache/manager/cache_manager.ts";
import { checkRange, checkType } from "../core/check.ts";
import { finishRequest, restartFailed } from "./finish.ts";
import type { InFlightStep, ScheduledSequence } from "./in_flight.ts";
import { KvMemory } from "./kv_memory.ts";
import { checkOutcome } from "./outcome.ts";
import { checkPolicy, rankKey, type SchedulerPolicy } from "./policy.ts";
import { postprocess } from "./postprocess.ts";
import {
  checkFits,
  checkRequest,
  type FinishedRequest,
  type RequestOptions,
} from "./request.ts";
import { RequestQueues } from "./request_queues.ts";
import { RequestState } from "./request_state.ts";
import { verifyScheduler } from "./scheduler_invariants.ts";
import type { SchedulerParts } from "./scheduler_parts.ts";
import type { Preemption, Step, StepOutcome } from "./step.ts";

/**
 * How a {@linkcode Scheduler} works.
 *
 * @category Scheduling
 */
export interface SchedulerOptions extends SchedulerPolicy {
  /** The cache. No one else may make, move or free sequences in it. */
  readonly cache: CacheManager;
}

/**
 * Continuous batching (Yu et al. 2022, Orca) over a paged cache (Kwon et al.
 * 2023, section 4.5), with prompts in chunks among the decodes (Agrawal et al.
 * 2024, Sarathi-Serve).
 *
 * It has no clock, no device and no model: {@linkcode Scheduler.schedule} says
 * what the next iteration does, the caller does it, and
 * {@linkcode Scheduler.commit} takes what was sampled. Requests may come and go
 * at any time. The same calls give the same steps.
 *
 * **Order.** A request's rank is settled on arrival: the iteration it arrives
 * in, plus its priority times `aging`; the earlier arrival first between
 * equals. Every step serves the first requests in rank order, with no gap: none
 * gets a token while one ahead of it gets none, but for a request that is
 * swapped in, which takes one step. When blocks or sequences are short, the last
 * in rank are preempted for those ahead; nothing ever preempts the first.
 *
 * **Fairness.** Let `c = min(longPrefill, ceil(tokenBudget / 2))`. The first
 * request computes `c` tokens a step, or all that it lacks. So once it is first
 * a request of P prompt tokens and n branches of up to M tokens is
 * finished within
 *
 * ```text
 * S = ceil((P + M) / c) + n * (M + ceil(M / c)) + 2
 * ```
 *
 * iterations, unless one ahead of it arrives. Hence a request is finished
 * within the sum of S over itself and all that are ahead of it in its time, plus
 * the largest of these S for each that arrives ahead of a waiting one, whose
 * work it may undo. Those are few: only requests of a priority less by d, and only
 * if they arrive less than `d * aging` iterations later. Without priorities
 * there are none. (Each failed step, and each loss of host memory, adds at most
 * S once more.)
 *
 * **Memory.** A request is admitted if its prompt fits and leaves the cache's
 * watermark free. A preempted one gives up all its blocks, which are swapped to
 * host memory or computed again; its tokens are kept. A request that fits alone
 * can therefore always be completed, and one that cannot is refused by
 * {@linkcode Scheduler.add}. Several branches may outgrow the pool even so; then
 * the request fails with the `OutOfBlocksError`.
 *
 * Calls that throw change nothing. Only if the cache itself throws something
 * unexpected in `schedule()`, who was preempted stays so; the work is taken
 * back, no token is lost, and pending operations are part of the next step.
 *
 * @example
 * ```ts
 * import { BlockPool, CacheManager } from "@quire/attention/cache";
 * import { Scheduler } from "@quire/attention/engine";
 *
 * const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
 * const scheduler = new Scheduler({ cache: new CacheManager({ pool }) });
 * scheduler.add({ id: "a", prompt: [1, 2, 3], maxTokens: 2 });
 * while (scheduler.size > 0) {
 *   const { work } = scheduler.schedule();
 *   // Compute the tokens of each work at its positions, and sample.
 *   const results = work.filter(({ samples }) => samples > 0).map((item) => ({
 *     request: item.request,
 *     branch: item.branch,
 *     tokens: new Array(item.samples).fill(item.start),
 *   }));
 *   for (const { branches } of scheduler.commit({ results })) {
 *     branches[0].tokens; // [0, 3]
 *   }
 * }
 * ```
 *
 * @category Scheduling
 */
export class Scheduler {
  readonly #parts: SchedulerParts;
  #preempted: Preemption[] = [];
  #finished: FinishedRequest[] = [];
  #inFlight: InFlightStep | undefined;
  #arrivals = 0;
  #iteration = 0;

  /**
   * Makes a scheduler with no requests.
   *
   * @throws {TypeError} if an option is of the wrong type, or the cache is in
   * use.
   * @throws {RangeError} if an option is out of its range.
   */
  constructor(options: SchedulerOptions) {
    const { cache, ...rest } = options;
    checkType(
      cache instanceof CacheManager && cache.sequences.length === 0,
      "cache",
      "must be a CacheManager without sequences",
      cache,
    );
    const policy = checkPolicy(rest);
    const memory = new KvMemory(cache, policy);
    this.#parts = { cache, policy, queues: new RequestQueues(), memory };
  }

  /** Steps that were scheduled. */
  get iteration(): number {
    return this.#iteration;
  }

  /** Live requests. */
  get size(): number {
    return this.#parts.queues.requests.size;
  }

  /** The names of the requests with blocks on the device, in rank order. */
  get running(): readonly string[] {
    return [...this.#parts.queues.running].map(({ request }) => request.id);
  }

  /**
   * The names of the other live requests, in rank order: new ones, and those
   * that were preempted.
   */
  get waiting(): readonly string[] {
    return [...this.#parts.queues.waiting].map(({ request }) => request.id);
  }

  /** Whether a step is in flight: scheduled, and not committed yet. */
  get inFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** Says whether a request is live: added, and not finished. */
  has(id: string): boolean {
    return this.#parts.queues.requests.has(id);
  }

  /**
   * Adds a request, which waits from now on.
   *
   * @throws {TypeError} if a field is of the wrong type, or two exclude each
   * other.
   * @throws {RangeError} if a field is out of its range, a live request has the
   * name, or the request would not fit even alone.
   */
  add(options: RequestOptions): void {
    const { cache, policy, queues } = this.#parts;
    const request = checkRequest(options);
    checkRange(
      !this.has(request.id),
      "id",
      "must not be that of a live request",
      request.id,
    );
    checkFits(request, cache, policy);
    const arrival = this.#arrivals++;
    const { priority } = request;
    const key = rankKey(priority, this.#iteration, policy.aging);
    const state = new RequestState(request, { key, arrival });
    queues.add(state);
  }

  /**
   * Finishes a request at once, also while a step that serves it is in flight;
   * what comes of that step for it is ignored.
   *
   * @throws {TypeError} if the request is not live: never added, or finished.
   */
  abort(id: string): FinishedRequest {
    const state = this.#parts.queues.requests.get(id);
    checkType(state !== undefined, "id", "must be of a live request", id);
    return finishRequest(state, this.#parts, { reason: "aborted" });
  }

  /**
   * Says what to do in the next iteration. If the step has neither operations
   * nor work, nothing can be done until a request is added; it is committed
   * all the same.
   *
   * @throws {TypeError} if a step is in flight.
   */
  schedule(): Step {
    checkType(
      this.#inFlight === undefined,
      "schedule()",
      "must wait for commit() or loseDevice() of the step",
      this.#iteration - 1,
    );
    const batch = new Batch(this.#parts, {
      onPreempt: (preemption) => this.#preempted.push(preemption),
      onFail: (state, error) => {
        const reason = "failed";
        const failed = finishRequest(state, this.#parts, { reason, error });
        this.#finished.push(failed);
      },
    });
    try {
      batch.fill();
    } catch (error) {
      batch.cancel();
      throw error;
    }
    return this.#begin(batch.scheduled);
  }

  /**
   * Takes what came of the step in flight.
   *
   * @returns The requests that finished by it.
   * @throws {TypeError} if no step is in flight, or the outcome is of the wrong
   * type, names what is no part of the step or something twice, or lacks a
   * result.
   * @throws {RangeError} if a token, parent or number of tokens is out of its
   * range.
   */
  commit(outcome: StepOutcome): FinishedRequest[] {
    const step = this.#inFlight;
    checkType(step !== undefined, "commit()", "must follow schedule()", 0);
    const counts = (state: RequestState) => this.#parts.queues.has(state);
    const checked = checkOutcome(step, outcome, counts);
    this.#inFlight = undefined;
    return postprocess(step, checked, this.#parts);
  }

  /**
   * Takes back everything that is on the device, as it is lost, and the step
   * in flight if there is one. Every request with blocks there is computed
   * again, or finished with the error if it was in too many failed steps. What
   * is in host memory stays. The cache's indexes are emptied, what is pinned
   * included.
   *
   * @returns The requests that finished by it.
   * @throws {TypeError} if `error` is not an Error.
   */
  loseDevice(error: Error): FinishedRequest[] {
    checkType(error instanceof Error, "error", "must be an Error", error);
    const { cache, queues, memory } = this.#parts;
    const scheduled = this.#inFlight?.scheduled ?? [];
    this.#inFlight = undefined;
    const served = new Map(scheduled.map(({ state }) => [state, error]));
    for (const state of [...queues.running]) {
      if (state.status === "swappingIn") memory.abortSwapIn(state);
      else memory.discard(state);
      queues.toWaiting(state);
    }
    for (const state of memory.swappingOut) {
      if (queues.has(state)) memory.discard(state);
    }
    memory.clearSwappingOut();
    memory.takeOperations();
    for (const index of [cache.index, cache.stateIndex]) {
      for (const pin of index?.pins ?? []) index!.unpin(pin);
      index?.reset();
    }
    return restartFailed(served, this.#parts);
  }

  /**
   * Takes back everything that is in host memory, as it is lost, and what is on
   * its way there or back. Every request that it was of is computed again, which
   * is no restart; a step in flight goes on for all others.
   *
   * @returns The names of these requests.
   */
  loseHost(): string[] {
    const { queues, memory } = this.#parts;
    const lost = [...queues.requests.values()]
      .filter(({ status }) => status === "swapped" || status === "swappingIn");
    for (const state of lost) {
      memory.discard(state);
      queues.toWaiting(state);
    }
    memory.dropSwaps();
    return lost.map(({ request }) => request.id);
  }

  /**
   * Checks every invariant of the scheduler and its cache.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    const { cache, policy, queues } = this.#parts;
    verifyScheduler({
      cache,
      requests: queues.requests,
      running: [...queues.running],
      waiting: [...queues.waiting],
      runningBranches: queues.runningBranches,
      maxSequences: policy.maxSequences,
    });
  }

  /** Makes the step that is in flight from now on. */
  #begin(scheduled: readonly ScheduledSequence[]): Step {
    const { queues, memory } = this.#parts;
    const swappingIn = [...queues.running]
      .filter(({ status }) => status === "swappingIn");
    const states = [
      ...scheduled.map(({ state }) => state),
      ...swappingIn,
      ...memory.swappingOut,
    ];
    this.#inFlight = {
      scheduled,
      swappingIn,
      states: new Map(states.map((state) => [state.request.id, state])),
    };
    const work = scheduled.map((item) => item.work);
    const step = {
      iteration: this.#iteration++,
      operations: memory.takeOperations(),
      work,
      tokens: work.reduce((sum, { tokens }) => sum + tokens.length, 0),
      preempted: this.#preempted,
      finished: this.#finished,
      freed: memory.takeFreed(),
    };
    this.#preempted = [];
    this.#finished = [];
    return step;
  }
}

/**
 * Decides, iteration by iteration, what is computed next.
 *
 * @module
 */

import { Batch } from "./batch.ts";
import { CacheManager } from "../cache/manager/cache_manager.ts";
import { checkRange, checkType } from "../core/check.ts";
import { Endings } from "./endings.ts";
import { checkOutcome, type Flight, type FlightWork } from "./flight.ts";
import {
  checkPolicy,
  type FullPolicy,
  rankKey,
  type SchedulerPolicy,
} from "./policy.ts";
import { advance } from "./progress.ts";
import {
  checkFits,
  checkRequest,
  type EndedRequest,
  type RequestOptions,
} from "./request.ts";
import { RequestState } from "./request_state.ts";
import { Residency } from "./residency.ts";
import { Roster } from "./roster.ts";
import { verifyScheduler } from "./scheduler_invariants.ts";
import type { Preemption, Step, StepOutcome } from "./step.ts";

/** How a {@linkcode Scheduler} works. */
export interface SchedulerOptions extends SchedulerPolicy {
  /** The cache. No one else may make, move or end sequences in it. */
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
 * gets a token while one ahead of it gets none, but for a request on its way
 * back from host memory, which takes one step. When blocks or places are short,
 * the last in rank give way to those ahead; nothing ever makes the first give
 * way.
 *
 * **Fairness.** Let `c = min(longPrefill, ceil(tokenBudget / 2))`. The first
 * request computes `c` tokens a step, or all that it lacks. So once it is first
 * a request of P prompt tokens and n continuations of up to M tokens ends
 * within
 *
 * ```text
 * S = ceil((P + M) / c) + n * (M + ceil(M / c)) + 2
 * ```
 *
 * iterations, unless one ahead of it arrives. Hence a request ends within the
 * sum of S over itself and all that are ahead of it in its time, plus the
 * largest of these S for each that arrives ahead of a waiting one, whose work
 * it may undo. Those are few: only requests of a priority less by d, and only
 * if they arrive less than `d * aging` iterations later. Without priorities
 * there are none. (Each lost step, and each loss of host memory, adds at most S
 * once more.)
 *
 * **Memory.** A request is admitted if its prompt fits and leaves the cache's
 * watermark free. A victim gives up all its blocks, to host memory or to be
 * computed again; its tokens are kept. A request that fits alone can therefore
 * always end, and one that cannot is refused by {@linkcode Scheduler.add}.
 * Several continuations may outgrow the pool even so; then the request fails
 * with the `OutOfBlocksError`.
 *
 * Calls that throw change nothing. Only if the cache itself throws something
 * unexpected in `schedule()`, victims stay preempted; the work is taken back,
 * no token is lost, and what is owed is handed out by the next call.
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
 */
export class Scheduler {
  readonly #cache: CacheManager;
  readonly #policy: FullPolicy;
  readonly #residency: Residency;
  readonly #roster: Roster = new Roster();
  readonly #endings: Endings;
  #preempted: Preemption[] = [];
  #ended: EndedRequest[] = [];
  #flight: Flight | undefined;
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
    const { cache, ...policy } = options;
    checkType(
      cache instanceof CacheManager && cache.sequences.length === 0,
      "cache",
      "must be a CacheManager without sequences",
      cache,
    );
    this.#policy = checkPolicy(policy);
    this.#cache = cache;
    this.#residency = new Residency(cache, this.#policy);
    this.#endings = new Endings({
      roster: this.#roster,
      residency: this.#residency,
      maxRestarts: this.#policy.maxRestarts,
    });
  }

  /** Steps that were handed out. */
  get iteration(): number {
    return this.#iteration;
  }

  /** Live requests. */
  get size(): number {
    return this.#roster.requests.size;
  }

  /** The names of the requests that have blocks, in rank order. */
  get running(): readonly string[] {
    return [...this.#roster.running].map(({ request }) => request.id);
  }

  /** The names of the other live requests, in rank order. */
  get waiting(): readonly string[] {
    return [...this.#roster.waiting].map(({ request }) => request.id);
  }

  /** Whether a step was handed out that nothing was said of yet. */
  get inFlight(): boolean {
    return this.#flight !== undefined;
  }

  /** Says whether a request is live. */
  has(id: string): boolean {
    return this.#roster.requests.has(id);
  }

  /**
   * Takes a request in, which waits from now on.
   *
   * @throws {TypeError} if a field is of the wrong type, or two exclude each
   * other.
   * @throws {RangeError} if a field is out of its range, a live request has the
   * name, or the request would not fit even alone.
   */
  add(options: RequestOptions): void {
    const request = checkRequest(options);
    checkRange(
      !this.has(request.id),
      "id",
      "must not be that of a live request",
      request.id,
    );
    checkFits(request, this.#cache, this.#policy);
    const arrival = this.#arrivals++;
    const { priority } = request;
    const key = rankKey(priority, this.#iteration, this.#policy.aging);
    const state = new RequestState(request, { key, arrival });
    this.#roster.add(state);
  }

  /**
   * Ends a request at once, also while a step that serves it is under way; what
   * comes of that step for it is ignored.
   *
   * @throws {TypeError} if the request is not live: never added, or ended.
   */
  abort(id: string): EndedRequest {
    const state = this.#roster.requests.get(id);
    checkType(state !== undefined, "id", "must be of a live request", id);
    return this.#endings.end(state, "aborted");
  }

  /**
   * Says what to do in the next iteration. If the step has neither operations
   * nor work, nothing can be done until a request is added; it is committed
   * all the same.
   *
   * @throws {TypeError} if nothing was said of the last step yet.
   */
  schedule(): Step {
    checkType(
      this.#flight === undefined,
      "schedule()",
      "must wait for commit() or loseDevice() of the step",
      this.#iteration - 1,
    );
    const batch = new Batch({
      cache: this.#cache,
      policy: this.#policy,
      roster: this.#roster,
      residency: this.#residency,
      onPreempt: (preemption) => this.#preempted.push(preemption),
      onFail: (state, error) =>
        this.#ended.push(this.#endings.end(state, "failed", error)),
    });
    try {
      batch.fill();
    } catch (error) {
      batch.cancel();
      throw error;
    }
    return this.#depart(batch.works);
  }

  /**
   * Takes what came of the last step.
   *
   * @returns The requests that ended by it.
   * @throws {TypeError} if no step is under way, or the outcome is of the wrong
   * type, names what is no part of the step or something twice, or lacks a
   * result.
   * @throws {RangeError} if a token, parent or number of tokens is out of its
   * range.
   */
  commit(outcome: StepOutcome): EndedRequest[] {
    const flight = this.#flight;
    checkType(flight !== undefined, "commit()", "must follow schedule()", 0);
    const counts = (state: RequestState) => this.#roster.has(state);
    const checked = checkOutcome(flight, outcome, counts);
    this.#flight = undefined;
    this.#residency.settle();
    const ended = this.#endings.lose(checked.failed);
    for (const state of flight.arrivals) {
      if (state.place === "arriving") this.#residency.arrive(state);
    }
    advance(flight, checked, {
      roster: this.#roster,
      residency: this.#residency,
    });
    return [...ended, ...this.#endings.finish(flight.works)];
  }

  /**
   * Takes back everything that is on the device, as it is lost, and the step
   * under way if there is one. Every request with blocks there is computed
   * again, or ends with the error if it was in too many lost steps. What is in
   * host memory stays. The cache's index is emptied, pinned blocks included.
   *
   * @returns The requests that ended by it.
   * @throws {TypeError} if `error` is not an Error.
   */
  loseDevice(error: Error): EndedRequest[] {
    checkType(error instanceof Error, "error", "must be an Error", error);
    const works = this.#flight?.works ?? [];
    this.#flight = undefined;
    const served = new Map(works.map(({ state }) => [state, error]));
    for (const state of [...this.#roster.running]) {
      if (state.place === "arriving") this.#residency.turnBack(state);
      else this.#residency.restart(state);
      this.#roster.moveOut(state);
    }
    for (const state of this.#residency.unsaved) {
      if (this.#roster.has(state)) this.#residency.restart(state);
    }
    this.#residency.settle();
    this.#residency.takeOperations();
    const { index } = this.#cache;
    for (const pin of index?.pins ?? []) index!.unpin(pin);
    index?.reset();
    return this.#endings.lose(served);
  }

  /**
   * Takes back everything that is in host memory, as it is lost, and what is on
   * its way there or back. Every request that it was of is computed again, which
   * is no restart; a step under way goes on for all others.
   *
   * @returns The names of these requests.
   */
  loseHost(): string[] {
    const lost = [...this.#roster.requests.values()]
      .filter(({ place }) => place === "swapped" || place === "arriving");
    for (const state of lost) {
      this.#residency.restart(state);
      this.#roster.moveOut(state);
    }
    this.#residency.forgetSwaps();
    return lost.map(({ request }) => request.id);
  }

  /**
   * Checks every invariant of the scheduler and its cache.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    verifyScheduler({
      cache: this.#cache,
      requests: this.#roster.requests,
      running: [...this.#roster.running],
      waiting: [...this.#roster.waiting],
      sequences: this.#roster.sequences,
      maxSequences: this.#policy.maxSequences,
    });
  }

  /** Hands out a step. */
  #depart(works: readonly FlightWork[]): Step {
    const arrivals = [...this.#roster.running].filter((s) =>
      s.place === "arriving"
    );
    const states = [
      ...works.map(({ state }) => state),
      ...arrivals,
      ...this.#residency.unsaved,
    ];
    this.#flight = {
      works,
      arrivals,
      states: new Map(states.map((state) => [state.request.id, state])),
    };
    const step = {
      iteration: this.#iteration++,
      operations: this.#residency.takeOperations(),
      work: works.map(({ work }) => work),
      tokens: works.reduce((sum, { start, end }) => sum + end - start, 0),
      preempted: this.#preempted,
      ended: this.#ended,
      freed: this.#residency.takeFreed(),
    };
    this.#preempted = [];
    this.#ended = [];
    return step;
  }
}

/**
 * Decides, iteration by iteration, what is computed next.
 *
 * @module
 */

import { CacheManager } from "../cache/cache_manager.ts";
import type { SequenceAppend } from "../cache/mod.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { OutOfBlocksError } from "../core/errors.ts";
import {
  type CheckedOutcome,
  checkOutcome,
  type Flight,
  type FlightWork,
} from "./flight.ts";
import {
  checkPolicy,
  compareRanks,
  type FullPolicy,
  rankKey,
  type SchedulerPolicy,
} from "./policy.ts";
import { advanceBeams, advanceBranch, advanceRoot } from "./progress.ts";
import { RankedList } from "./ranked_list.ts";
import {
  checkRequest,
  type EndedRequest,
  type Request,
  type RequestOptions,
} from "./request.ts";
import { RequestState } from "./request_state.ts";
import { Residency } from "./residency.ts";
import { verifyScheduler } from "./scheduler_invariants.ts";
import { type Share, sharesOf } from "./shares.ts";
import type { Preemption, SampleResult, Step, StepOutcome } from "./step.ts";

/** The longest sequence that a request may ask for. */
const MAX_LENGTH = 2 ** 22;

/** How a {@linkcode Scheduler} works. */
export interface SchedulerOptions extends SchedulerPolicy {
  /** The cache. No one else may make, move or end sequences in it. */
  readonly cache: CacheManager;
}

/** A step in the making. */
interface Draft {
  /** Tokens left. */
  left: number;
  /** Sequences further behind that wait for one token each. */
  decoding: number;
  /** What is computed. */
  readonly works: FlightWork[];
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
 * there are none. (Each lost step adds at most S once more.)
 *
 * **Memory.** A request is admitted if its prompt fits and leaves the cache's
 * watermark free. A victim gives up all its blocks, to host memory or to be
 * computed again; its tokens are kept. A request that fits alone can therefore
 * always end, and one that cannot is refused by {@linkcode Scheduler.add}.
 * Several continuations may outgrow the pool even so; then the request fails
 * with the {@linkcode OutOfBlocksError}.
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
  readonly #requests: Map<string, RequestState> = new Map();
  readonly #running: RankedList<RequestState> = new RankedList();
  readonly #waiting: RankedList<RequestState> = new RankedList();
  #preempted: Preemption[] = [];
  #ended: EndedRequest[] = [];
  #flight: Flight | undefined;
  #sequences = 0;
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
  }

  /** Steps that were handed out. */
  get iteration(): number {
    return this.#iteration;
  }

  /** Live requests. */
  get size(): number {
    return this.#requests.size;
  }

  /** The names of the requests that have blocks, in rank order. */
  get running(): readonly string[] {
    return [...this.#running].map(({ request }) => request.id);
  }

  /** The names of the other live requests, in rank order. */
  get waiting(): readonly string[] {
    return [...this.#waiting].map(({ request }) => request.id);
  }

  /** Whether a step was handed out that nothing was said of yet. */
  get inFlight(): boolean {
    return this.#flight !== undefined;
  }

  /** Says whether a request is live. */
  has(id: string): boolean {
    return this.#requests.has(id);
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
    this.#checkFits(request);
    const arrival = this.#arrivals++;
    const { priority } = request;
    const key = rankKey(priority, this.#iteration, this.#policy.aging);
    const state = new RequestState(request, { key, arrival });
    this.#requests.set(request.id, state);
    this.#waiting.insert(state);
  }

  /**
   * Ends a request at once, also while a step that serves it is under way; what
   * comes of that step for it is ignored.
   *
   * @throws {TypeError} if the request is not live: never added, or ended.
   */
  abort(id: string): EndedRequest {
    const state = this.#requests.get(id);
    checkType(state !== undefined, "id", "must be of a live request", id);
    return this.#end(state, "aborted");
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
    const draft: Draft = {
      left: this.#policy.tokenBudget,
      decoding: [...this.#running].reduce((sum, s) => sum + s.decoding, 0),
      works: [],
    };
    try {
      this.#fill(draft);
    } catch (error) {
      this.#takeBack(draft);
      throw error;
    }
    return this.#depart(draft);
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
    const isLive = (state: RequestState) => this.#isLive(state);
    const checked = checkOutcome(flight, outcome, isLive);
    this.#flight = undefined;
    this.#residency.settle();
    const ended = this.#lose(checked.failed);
    for (const state of flight.arrivals) {
      if (state.place === "arriving") this.#residency.arrive(state);
    }
    this.#advance(flight, checked);
    return [...ended, ...this.#finish(flight)];
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
    for (const state of [...this.#running]) {
      if (state.place === "arriving") this.#residency.turnBack(state);
      else this.#residency.restart(state);
      this.#moveOut(state);
    }
    for (const state of this.#residency.unsaved) {
      if (this.#isLive(state)) this.#residency.restart(state);
    }
    this.#residency.settle();
    this.#residency.takeOperations();
    const { index } = this.#cache;
    for (const pin of index?.pins ?? []) index!.unpin(pin);
    index?.reset();
    return this.#lose(served);
  }

  /**
   * Checks every invariant of the scheduler and its cache.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    verifyScheduler({
      cache: this.#cache,
      requests: this.#requests,
      running: [...this.#running],
      waiting: [...this.#waiting],
      sequences: this.#sequences,
      maxSequences: this.#policy.maxSequences,
    });
  }

  #isLive(state: RequestState): boolean {
    return this.#requests.get(state.request.id) === state;
  }

  #checkFits({ id, prompt, maxTokens, width, domain }: Request): void {
    const { maxSequences, tokenBudget, longPrefill } = this.#policy;
    checkRange(
      !this.#requests.has(id),
      "id",
      "must not be that of a live request",
      id,
    );
    checkInteger("width", width, 1, Math.min(maxSequences, tokenBudget));
    // The last token is sampled, and never computed.
    const length = prompt.length + maxTokens - 1;
    checkInteger("prompt.length + maxTokens - 1", length, 1, MAX_LENGTH);
    const tokens = new Array<number>(length).fill(0);
    const chunk = Math.min(longPrefill, tokenBudget);
    checkRange(
      this.#cache.canAdmit(tokens, { domain, chunk }) !== "never",
      "prompt.length + maxTokens - 1",
      "must fit in the cache",
      length,
    );
  }

  /** Serves requests in rank order until something is used up. */
  #fill(draft: Draft): void {
    let place = 0;
    while (draft.left > 0) {
      const running = this.#running.at(place);
      const waiting = this.#waiting.at(0);
      if (waiting && !(running && compareRanks(running, waiting) < 0)) {
        if (!this.#admit(waiting, draft)) return;
      } else if (running) draft.decoding -= running.decoding;
      const state = this.#running.at(place);
      if (state === undefined) return;
      if (state.place !== "arriving" && !this.#serve(state, draft)) {
        if (this.#isLive(state)) return;
      } else place++;
    }
  }

  /** Lets a request run, with the last in rank giving way if need be. */
  #admit(state: RequestState, draft: Draft): boolean {
    const { maxSequences } = this.#policy;
    const { length: width } = state.live;
    do {
      if (
        this.#sequences + width <= maxSequences &&
        this.#residency.enter(state, this.#running.length === 0)
      ) {
        this.#waiting.remove(state);
        this.#running.insert(state);
        this.#sequences += width;
        return true;
      }
    } while (this.#preemptBehind(state, draft));
    return false;
  }

  /** Lets the last in rank give way, if there is one behind `state`. */
  #preemptBehind(state: RequestState, draft: Draft): boolean {
    const last = this.#running.at(-1);
    if (last === undefined || compareRanks(last, state) <= 0) return false;
    draft.decoding -= last.decoding;
    if (last.place === "arriving") this.#residency.turnBack(last);
    else this.#preempted.push(this.#residency.leave(last));
    this.#moveOut(last);
    return true;
  }

  /** Says whether a request got all that it could use. */
  #serve(state: RequestState, draft: Draft): boolean {
    const { shares, joint } = sharesOf(state, this.#policy, draft);
    const appends = joint && shares.length > 0
      ? this.#appendBeams(state, shares, draft)
      : this.#appendEach(state, shares, draft);
    if (appends instanceof OutOfBlocksError) {
      if (this.#running.length > 1) return false;
      this.#ended.push(this.#end(state, "failed", appends));
      return false;
    }
    appends.forEach((append, i) => {
      const item = this.#work(state, shares[i], append);
      draft.works.push({ ...item, joint });
      draft.left -= shares[i].count;
    });
    return shares.length > 0 && appends.length === shares.length;
  }

  /** Makes room share by share; an error only if there is none for any. */
  #appendEach(
    state: RequestState,
    shares: readonly Share[],
    draft: Draft,
  ): SequenceAppend[] | OutOfBlocksError {
    const appends: SequenceAppend[] = [];
    for (const { branch, sequence, count } of shares) {
      const tokens = state.tokens(branch, sequence.length, count);
      const append = this.#withRoom(
        state,
        draft,
        () => this.#cache.append(sequence, tokens),
      );
      if (append instanceof OutOfBlocksError) {
        return appends.length > 0 ? appends : append;
      }
      this.#residency.owe(state, append.copies);
      appends.push(append);
    }
    return appends;
  }

  /** Makes room for the next token of every beam, or for none. */
  #appendBeams(
    state: RequestState,
    shares: readonly Share[],
    draft: Draft,
  ): SequenceAppend[] | OutOfBlocksError {
    const parents = state.parents ?? shares.map((_, i) => i);
    const beams = shares.map(({ sequence }) => sequence);
    const tokens = shares.map(({ branch }) => branch.outputs.slice(-1));
    this.#residency.noteBlocks(beams);
    const appends = this.#withRoom(
      state,
      draft,
      () => this.#cache.reorder({ beams, parents, tokens }),
    );
    if (appends instanceof OutOfBlocksError) return appends;
    state.parents = undefined;
    for (const { copies } of appends) this.#residency.owe(state, copies);
    return appends;
  }

  #withRoom<T>(
    state: RequestState,
    draft: Draft,
    operation: () => T,
  ): T | OutOfBlocksError {
    while (true) {
      try {
        return operation();
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
        if (!this.#preemptBehind(state, draft)) return error;
      }
    }
  }

  #work(
    state: RequestState,
    { branch, sequence, count, samples }: Share,
    { slots }: SequenceAppend,
  ): Omit<FlightWork, "joint"> {
    const end = sequence.length;
    const start = end - count;
    const work = {
      request: state.request.id,
      branch: branch.index,
      tokens: state.tokens(branch, start, count),
      start,
      slots,
      blocks: sequence.tables.map(({ blocks }) => blocks),
      samples,
    };
    return { state, branch, sequence, start, end, samples, work };
  }

  /** Takes back the work of a step that will not be. */
  #takeBack({ works }: Draft): void {
    for (const { sequence, start } of works) {
      this.#cache.truncate(sequence, start);
    }
  }

  /** Hands out a step. */
  #depart({ works }: Draft): Step {
    const arrivals = [...this.#running].filter((s) => s.place === "arriving");
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

  /** Sets requests back whose work is lost, and ends those with too much. */
  #lose(failed: ReadonlyMap<RequestState, Error>): EndedRequest[] {
    const ended: EndedRequest[] = [];
    for (const [state, error] of failed) {
      if (!this.#isLive(state)) continue;
      this.#residency.restart(state);
      this.#moveOut(state);
      if (++state.restarts > this.#policy.maxRestarts) {
        ended.push(this.#end(state, "failed", error));
      }
    }
    return ended;
  }

  /** Gives every request its tokens. */
  #advance({ works }: Flight, { results, failed }: CheckedOutcome): void {
    const beams = new Map<RequestState, SampleResult[]>();
    for (const item of works) {
      const { state, sequence, end } = item;
      if (!this.#isLive(state) || failed.has(state)) continue;
      this.#residency.written(sequence, end, item.work.blocks);
      const result = results.get(item);
      if (state.root !== undefined) {
        if (end === state.rootLength) this.#residency.fork(state);
        if (result) advanceRoot(state, result);
      } else if (item.joint) {
        const list = beams.get(state) ?? [];
        list.push(result!);
        beams.set(state, list);
      } else if (result) advanceBranch(item, result);
    }
    for (const [state, list] of beams) advanceBeams(state, list);
  }

  /** Ends what came to its end. */
  #finish({ works }: Flight): EndedRequest[] {
    const ended: EndedRequest[] = [];
    for (const state of new Set(works.map((item) => item.state))) {
      if (!this.#isLive(state)) continue;
      for (const branch of state.branches) {
        if (branch.end === undefined || !branch.sequence) continue;
        this.#residency.free(branch);
        this.#sequences--;
      }
      if (state.live.length > 0) continue;
      ended.push(this.#end(state, "finished"));
    }
    return ended;
  }

  #moveOut(state: RequestState): void {
    if (this.#running.remove(state)) {
      this.#sequences -= state.live.length;
      this.#waiting.insert(state);
    }
  }

  #end(
    state: RequestState,
    reason: EndedRequest["reason"],
    error?: Error,
  ): EndedRequest {
    this.#residency.release(state);
    this.#moveOut(state);
    this.#waiting.remove(state);
    this.#requests.delete(state.request.id);
    return state.ended(reason, error);
  }
}

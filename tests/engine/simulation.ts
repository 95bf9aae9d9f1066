/**
 * A service around a scheduler, all of it drawn from one seed: arrivals,
 * aborts, memory that is too small, and failures.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  type AllocateOptions,
  BlockPool,
  CacheManager,
  OutOfBlocksError,
  PrefixIndex,
  StatePool,
} from "../../src/cache/mod.ts";
import { DeviceLostError } from "../../src/core/errors.ts";
import { Prng } from "../../src/core/prng.ts";
import {
  type FinishedRequest,
  type RequestOptions,
  Scheduler,
  type SchedulerPolicy,
  type Step,
} from "../../src/engine/mod.ts";
import { expectedBranches, FakeDevice, VOCABULARY } from "./fake_model.ts";
import { checkStep } from "./step_checks.ts";

/** A fault in the cache that no one expects. */
export class InjectedError extends Error {}

/** A pool that fails when it is told to. */
class FailingPool extends BlockPool {
  /** Says whether, and how, the next allocation fails. */
  fault: () => Error | undefined = () => undefined;

  override allocate(count: number, options?: AllocateOptions): number[] {
    const error = count > 0 ? this.fault() : undefined;
    if (error !== undefined) throw error;
    return super.allocate(count, options);
  }
}

/** What the simulation knows of a request. */
export interface SimulatedRequest {
  readonly options: RequestOptions;
  readonly key: number;
  readonly arrival: number;
  /** Iterations before it. */
  readonly from: number;
  /** Faults before it, each of which may undo work. */
  readonly faults: number;
  /** The iteration by which it finished, and the faults meanwhile. */
  until: number;
  undone: number;
}

/** One run of the service. */
export class Simulation {
  readonly #prng: Prng;
  readonly #pool: FailingPool;
  readonly #cache: CacheManager;
  readonly #device: FakeDevice;
  readonly #index: PrefixIndex | undefined;
  readonly scheduler: Scheduler;
  readonly policy: Required<SchedulerPolicy>;
  readonly #requests: SimulatedRequest[] = [];
  readonly #live: Map<string, SimulatedRequest> = new Map();
  readonly #groups: number;
  readonly #hostBlocks: number;
  readonly #hazard: number;
  #faults = 0;
  #toCome: number;

  readonly #slots: StatePool | undefined;

  constructor(seed: number, kind: "attention" | "hybrid" | "recurrent") {
    const prng = this.#prng = new Prng(seed);
    const blockSize = 1 + prng.below(5);
    this.#pool = new FailingPool({ numBlocks: 5 + prng.below(40), blockSize });
    this.#index = prng.below(3) > 0
      ? new PrefixIndex(this.#pool, { clock: () => 0 })
      : undefined;
    const drawn = prng.below(4) > 0 ? [{}] : [{}, { left: prng.below(6) }];
    const groups = kind === "recurrent" ? [] : drawn;
    this.#hostBlocks = [0, 3, 10, 40][prng.below(4)];
    const recurrent = kind === "attention" ? 0 : 1 + prng.below(2);
    this.#slots = recurrent === 0
      ? undefined
      : new StatePool({ numStates: 3 + prng.below(16), blockSize });
    this.#cache = new CacheManager({
      pool: this.#pool,
      ...(this.#index && groups.length > 0 ? { index: this.#index } : {}),
      groups: [
        ...groups,
        ...Array.from(
          { length: recurrent },
          () => ({ kind: "state" as const }),
        ),
      ],
      ...(this.#slots && {
        states: {
          pool: this.#slots,
          hostStates: [0, 2, 10][prng.below(3)],
          ...(this.#index && {
            index: new PrefixIndex(this.#slots, { clock: () => 0 }),
          }),
          snapshots: [{}, { every: 1 }, { every: 3 }][prng.below(3)],
        },
      }),
      watermark: [0, 0.01, 0.1][prng.below(3)],
      hostBlocks: this.#hostBlocks,
    });
    this.#groups = Math.max(1, groups.length);
    this.#device = new FakeDevice({ blockSize, groups });
    const tokenBudget = 1 + prng.below(prng.below(2) > 0 ? 40 : 8);
    this.policy = {
      tokenBudget,
      maxSequences: 1 + prng.below(10),
      longPrefill: 1 + prng.below(tokenBudget),
      aging: [0, 5, 50, Infinity][prng.below(4)],
      preemption: prng.below(2) > 0 ? "swap" : "recompute",
      maxRestarts: prng.below(4),
    };
    this.scheduler = new Scheduler({ cache: this.#cache, ...this.policy });
    this.#hazard = [0, 0.003, 0.03][prng.below(3)];
    this.#toCome = 3 + prng.below(25);
    this.#pool.fault = () => this.#fault();
  }

  /** Runs until every request is finished. */
  run(): void {
    for (let step = 0; this.#toCome > 0 || this.scheduler.size > 0; step++) {
      assert(step < 20_000, "the simulation does not end");
      while (this.#toCome > 0 && this.#chance(0.3)) this.#arrive();
      if (this.#chance(this.#hazard)) this.#abort();
      if (this.#chance(this.#hazard)) this.#loseHost();
      this.#iterate();
      this.scheduler.verify();
    }
    this.#checkEnd();
  }

  /** Iterations, for the curious. */
  get iterations(): number {
    return this.scheduler.iteration;
  }

  #chance(probability: number): boolean {
    return this.#prng.uniform() < probability;
  }

  #fault(): Error | undefined {
    if (!this.#chance(this.#hazard / 4)) return undefined;
    this.#faults++;
    return this.#chance(0.5)
      ? new InjectedError("injected")
      : new OutOfBlocksError({ needed: 1, free: 0 });
  }

  /** Draws a request. Prompts are cut from few texts, so that they meet. */
  #draw(): RequestOptions {
    const prng = this.#prng;
    const text = prng.below(3);
    const capacity = Math.floor(
      this.#pool.totalBlocks * this.#pool.blockSize / this.#groups,
    );
    const prompt = Array.from(
      { length: 1 + prng.below(Math.ceil(capacity * 0.6)) },
      (_, i) => i < 12 ? (i * 7 + text) % VOCABULARY : prng.below(VOCABULARY),
    );
    const kind = prng.below(4);
    const { tokenBudget, maxSequences } = this.policy;
    const width = 1 + prng.below(Math.min(4, tokenBudget, maxSequences));
    return {
      id: `request ${this.#requests.length}`,
      prompt,
      maxTokens: 1 + prng.below(Math.ceil(capacity * 0.5)),
      priority: prng.below(3) - 1,
      ...(kind === 0 ? { beams: width } : {}),
      ...(kind === 1 ? { samples: width } : {}),
      ...(kind > 0 && prng.below(2) > 0 ? { stop: [prng.below(9)] } : {}),
      ...(prng.below(4) > 0 ? {} : { domain: { salt: "other" } }),
    };
  }

  #arrive(): void {
    this.#toCome--;
    const options = this.#draw();
    const { aging } = this.policy;
    const { priority = 0 } = options;
    const { iteration, size } = this.scheduler;
    try {
      this.scheduler.add(options);
    } catch (error) {
      // Too long for this cache.
      assert(error instanceof RangeError, String(error));
      assertEquals(this.scheduler.size, size);
      return;
    }
    const request: SimulatedRequest = {
      options,
      key: aging === Infinity ? priority : iteration + priority * aging,
      arrival: this.#requests.length,
      from: iteration,
      faults: this.#faults,
      until: Infinity,
      undone: 0,
    };
    this.#requests.push(request);
    this.#live.set(options.id, request);
  }

  #abort(): void {
    const ids = [...this.#live.keys()];
    if (ids.length === 0) return;
    const aborted = this.scheduler.abort(ids[this.#prng.below(ids.length)]);
    assertEquals(aborted.reason, "aborted");
    this.#finish([aborted]);
  }

  #iterate(): void {
    const before = this.scheduler.running;
    const step = this.#schedule();
    const unused = (this.#slots?.freeOrder() ?? [])
      .filter((id) => !this.#slots!.isCached(id));
    this.#finish(step.finished);
    checkStep(step, {
      pool: this.#pool,
      cache: this.#cache,
      policy: this.policy,
      scheduler: this.scheduler,
      live: [...this.#live.values()],
      before,
    });
    this.scheduler.verify();
    if (this.#chance(this.#hazard)) this.#abort();
    if (this.#chance(this.#hazard)) this.#loseHost();
    if (this.#chance(this.#hazard)) {
      if (this.#chance(0.5)) this.#device.operate(step.operations, new Set());
      return this.#lose();
    }
    const failed = this.#failures(step);
    const broken = new Set(failed.map(({ request }) => request));
    this.#device.operate(step.operations, broken);
    this.#device.spoilStates(unused);
    this.#device.spoil(
      step.freed.filter((id) =>
        this.#pool.refCount(id) === 0 && !this.#pool.isCached(id)
      ),
    );
    const results = this.#sample(step)
      .filter(({ request }) => !broken.has(request) || this.#chance(0.5));
    this.#finish(this.scheduler.commit({ results, failed }));
  }

  #schedule(): Step {
    while (true) {
      try {
        return this.scheduler.schedule();
      } catch (error) {
        if (!(error instanceof InjectedError)) throw error;
        assert(!this.scheduler.inFlight);
        this.scheduler.verify();
      }
    }
  }

  #sample(step: Step) {
    const results = this.#device.compute(step);
    const done = new Set<string>();
    return results.flatMap((result) => {
      const { request } = result;
      const { beams } = this.#requests
        .find(({ options }) => options.id === request)!.options;
      const { length } = step.work.filter((w) => w.request === request);
      const work = step.work.find((w) => w.request === request)!;
      const { prompt } = this.#requests
        .find(({ options }) => options.id === request)!.options;
      const behindPrompt = work.start + work.tokens.length > prompt.length;
      if (beams === undefined || !behindPrompt) return [result];
      assertEquals(length, beams, "beams advance together");
      if (done.has(request)) return [];
      done.add(request);
      return this.#device.computeBeams(step, request);
    });
  }

  #failures(step: Step) {
    const names = new Set(
      [...step.work, ...step.operations.filter(({ type }) => type === "swap")]
        .map(({ request }) => request),
    );
    return [...names].flatMap((request) => {
      if (!this.#live.has(request) || !this.#chance(this.#hazard / 2)) {
        return [];
      }
      this.#faults++;
      return [{ request, error: new InjectedError("failed") }];
    });
  }

  #lose(): void {
    this.#faults++;
    this.#device.lose();
    const error = new DeviceLostError("unknown", "injected");
    this.#finish(this.scheduler.loseDevice(error));
    assertEquals(this.#pool.usedBlocks, 0);
    assertEquals(this.#slots?.usedBlocks ?? 0, 0);
  }

  #loseHost(): void {
    this.#faults++;
    this.#device.loseHost();
    const lost = this.scheduler.loseHost();
    assertEquals(this.#cache.freeHostBlocks, this.#hostBlocks);
    for (const id of lost) assert(this.scheduler.waiting.includes(id), id);
    this.scheduler.verify();
  }

  /** Holds finished requests against what they yield alone. */
  #finish(finished: readonly FinishedRequest[]): void {
    for (const { id, reason, branches, error } of finished) {
      const request = this.#live.get(id)!;
      this.#live.delete(id);
      request.until = this.scheduler.iteration;
      request.undone = this.#faults - request.faults;
      const expected = expectedBranches(request.options);
      if (reason === "completed") assertEquals(branches, expected, id);
      else if (request.options.beams === undefined) {
        branches.forEach(({ tokens }, i) =>
          assertEquals(tokens, expected[i].tokens.slice(0, tokens.length), id)
        );
      }
      assertEquals(reason === "failed", error !== undefined);
      if (error instanceof OutOfBlocksError) {
        assert(branches.length > 1 || this.#faults > 0, String(error));
      } else if (error !== undefined) {
        assert(request.undone > this.policy.maxRestarts, String(error));
      }
    }
  }

  /** Everything must be freed, and no one have waited for too long. */
  #checkEnd(): void {
    this.scheduler.verify();
    assertEquals(this.#pool.usedBlocks, 0);
    assertEquals(this.#slots?.usedBlocks ?? 0, 0);
    assertEquals(this.#cache.sequences, []);
    this.#index?.reset();
    for (const request of this.#requests) {
      const waited = request.until - request.from;
      const bound = this.#bound(request);
      assert(waited <= bound, `${request.options.id}: ${waited} > ${bound}`);
    }
  }

  /** The longest that the scheduler's documentation lets a request take. */
  #bound(request: SimulatedRequest): number {
    const { tokenBudget, longPrefill } = this.policy;
    const c = Math.min(longPrefill, Math.ceil(tokenBudget / 2));
    const cost = ({ options }: SimulatedRequest) => {
      const { prompt, maxTokens: M, samples = 1, beams = samples } = options;
      return Math.ceil((prompt.length + M) / c) +
        beams * (M + Math.ceil(M / c)) + 2;
    };
    const ahead = this.#requests.filter((other) =>
      other === request ||
      other.until > request.from && other.from <= request.until &&
        (other.key - request.key || other.arrival - request.arrival) < 0
    );
    const costs = ahead.map(cost);
    const overtakers = ahead.filter((other) =>
      ahead.some((before) =>
        before.arrival < other.arrival && before.key > other.key
      )
    );
    return costs.reduce((sum, n) => sum + n, 0) +
      (overtakers.length + request.undone) * Math.max(...costs);
  }
}

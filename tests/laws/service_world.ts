/**
 * A service in small, on a device: sequences that share, fork, give way and
 * come back over one cache, and whose every query is held against float64.
 *
 * A token's key and value follow from all tokens up to it, as a model's do, so
 * a block in the wrong place shows, whatever it holds.
 *
 * @module
 */

import { assert } from "@std/assert";
import {
  attention as referenceAttention,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import type {
  CacheManager,
  CacheSequence,
  GroupCopy,
} from "../../src/cache/mod.ts";
import type { KvSwap } from "../../src/kv/mod.ts";
import { type KvCache, OutOfBlocksError } from "../../mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type { GpuTensor } from "../../src/gpu/mod.ts";
import {
  planAttention,
  type PlanChoices,
  SOFTWARE_TILES,
} from "../../src/ops/mod.ts";

const QUERY_HEADS = 4;
const PROMPTS = 2;
const PROMPT_TOKENS = 44;
const TOKENS = 3;

/** How keys are partitioned, and whether prefixes are shared: any way must do. */
const CHOICES: readonly PlanChoices[] = [
  {},
  { sharedPrefix: "always" },
  { splits: "stream-k", workers: 3, sharedPrefix: "always" },
];

/** Steps of 32 keys, so that short prefixes can be shared. */
const TILES = {
  ...SOFTWARE_TILES,
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 2, keys: 8 },
  decode: { ...SOFTWARE_TILES.decode, keysPerLane: 4 },
};

/** A sequence with all tokens that it will have. */
interface Job {
  readonly sequence: CacheSequence;
  readonly tokens: readonly number[];
  /** Tokens of the last append, to be attended to and committed. */
  fresh: number;
}

/** What happened, for tests to see that enough did. */
export interface WorldCounts {
  cached: number;
  preempted: number;
  swapped: number;
  forked: number;
  shared: number;
  queries: number;
}

/** Draws what happens from a seed. */
export class ServiceWorld {
  readonly counts: WorldCounts = {
    cached: 0,
    preempted: 0,
    swapped: 0,
    forked: 0,
    shared: 0,
    queries: 0,
  };
  readonly #manager: CacheManager;
  readonly #cache: KvCache;
  readonly #swap: KvSwap;
  readonly #lefts: readonly (number | undefined)[];
  readonly #random: Prng;
  #jobs: Job[] = [];

  constructor(
    manager: CacheManager,
    swap: KvSwap,
    { lefts, seed }: {
      /** The window of each layer group. */
      readonly lefts: readonly (number | undefined)[];
      readonly seed: number;
    },
  ) {
    this.#manager = manager;
    this.#swap = swap;
    this.#cache = swap.cache as KvCache;
    this.#lefts = lefts;
    this.#random = new Prng(seed);
  }

  /** One step: arrivals, forks, aborts, room, appends, attention. */
  async step(): Promise<void> {
    if (this.#chance(2)) this.#arrive();
    if (this.#chance(4)) this.#fork();
    if (this.#chance(9) && this.#jobs.length > 0) {
      this.#end(this.#pick(this.#jobs));
    }
    await this.#comeBack();
    for (const job of [...this.#jobs]) await this.#grow(job);
    await this.#attend(this.#jobs.filter(({ fresh }) => fresh > 0));
    this.#manager.verify();
    for (const job of [...this.#jobs]) {
      if (job.sequence.length === job.tokens.length) this.#end(job);
    }
  }

  /** Ends everything. */
  finish(): void {
    for (const job of [...this.#jobs]) this.#end(job);
    this.#manager.verify();
  }

  #chance(of: number): boolean {
    return this.#random.below(of) === 0;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random.below(items.length)];
  }

  #draw(count: number): number[] {
    return Array.from({ length: count }, () => this.#random.below(TOKENS));
  }

  #arrive(): void {
    const prompt = new Prng(this.#random.below(PROMPTS));
    const shared = Array.from(
      { length: PROMPT_TOKENS },
      () => prompt.below(TOKENS),
    );
    const tokens = [
      ...shared.slice(0, 1 + this.#random.below(PROMPT_TOKENS)),
      ...this.#draw(1 + this.#random.below(14)),
    ];
    if (this.#manager.canAdmit(tokens) !== "now") return;
    const { sequence, cached, copies } = this.#manager.create(tokens);
    this.#begin({ sequence, tokens, fresh: 0 }, cached, copies);
  }

  #begin(job: Job, cached: number, copies: readonly GroupCopy[]): void {
    this.counts.cached += cached;
    this.#cache.copy(copies);
    if (!this.#jobs.includes(job)) this.#jobs.push(job);
  }

  #fork(): void {
    const parents = this.#jobs.filter(({ sequence }) =>
      sequence.status === "running" && sequence.length > 0
    );
    if (parents.length === 0) return;
    const { sequence } = this.#pick(parents);
    const [fork] = this.#manager.fork(sequence);
    const tokens = [
      ...sequence.tokens,
      ...this.#draw(1 + this.#random.below(9)),
    ];
    this.#jobs.push({ sequence: fork, tokens, fresh: 0 });
    this.counts.forked++;
  }

  #end(job: Job): void {
    this.#manager.free(job.sequence);
    this.#jobs = this.#jobs.filter((one) => one !== job);
  }

  async #comeBack(): Promise<void> {
    for (const job of this.#jobs) {
      const { sequence, tokens } = job;
      try {
        if (sequence.status === "swapped") {
          const transfer = this.#manager.beginSwapIn([sequence]);
          await this.#swap.run(transfer);
          this.#manager.completeSwap(transfer);
        } else if (sequence.status === "preempted") {
          const { cached, copies } = this.#manager.resume(sequence, tokens);
          this.#begin(job, cached, copies);
        }
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
      }
    }
  }

  /** Appends some tokens, for which others may have to give way. */
  async #grow(job: Job): Promise<void> {
    const { sequence, tokens } = job;
    if (sequence.status !== "running") return;
    const from = sequence.length;
    const next = tokens.slice(from, from + 1 + this.#random.below(12));
    for (;;) {
      try {
        const reservation = this.#manager.reserve(sequence, next);
        this.#lefts.forEach((_, group) => {
          const rows = this.#rows(tokens, from, next.length, group);
          using key = rows.key;
          using value = rows.value;
          this.#cache.step([reservation], { group }).write({ key, value });
        });
        job.fresh = next.length;
        return;
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
        // Those with rows to be attended to in this step stay.
        const victim = this.#jobs.findLast((one) =>
          one !== job && one.fresh === 0 && one.sequence.status === "running"
        );
        if (!victim) return;
        await this.#giveWay(victim.sequence);
      }
    }
  }

  async #giveWay(sequence: CacheSequence): Promise<void> {
    if (this.#chance(2)) {
      this.#manager.preempt(sequence);
      this.counts.preempted++;
      return;
    }
    try {
      const transfer = this.#manager.beginSwapOut([sequence]);
      await this.#swap.run(transfer);
      this.#manager.completeSwap(transfer);
      this.counts.swapped++;
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      this.#manager.preempt(sequence);
    }
  }

  /** New keys and values of one group, as tensors. */
  #rows(tokens: readonly number[], from: number, count: number, group: number) {
    const { gpu, kvHeads, headDim } = this.#cache;
    const shape = [count, kvHeads, headDim];
    const tensor = (role: number) => {
      const all = Array.from(
        { length: count },
        (_, i) => this.#row(tokens, from + i, { group, role }),
      ).flat();
      return gpu.tensor(Float32Array.from(all), shape, "world");
    };
    return { key: tensor(0), value: tensor(1) };
  }

  /** A key (0), a value (1) or a query (2) of the last of some tokens. */
  #row(
    tokens: readonly number[],
    position: number,
    { group, role }: { group: number; role: number },
  ): number[] {
    const seed = tokens.slice(0, position + 1)
      .reduce((hash, token) => Math.imul(hash ^ token, 0x01000193) + 7, 3);
    const prng = new Prng((seed + 101 * group + 13 * role) >>> 0);
    const heads = role === 2 ? QUERY_HEADS : this.#cache.kvHeads;
    return Array.from(
      { length: heads * this.#cache.headDim },
      () => Math.fround(prng.normal()),
    );
  }

  /** Attention of all fresh tokens, in all groups, held against float64. */
  async #attend(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return;
    const { gpu, headDim } = this.#cache;
    const starts = [0];
    for (const { fresh } of jobs) starts.push(starts.at(-1)! + fresh);
    const queries = this.#lefts.map((_, group) =>
      jobs.map(({ tokens, sequence, fresh }) =>
        Array.from(
          { length: fresh },
          (_, i) =>
            this.#row(tokens, sequence.length - fresh + i, { group, role: 2 }),
        )
          .flat()
      )
    );
    const made: { destroy(): void }[] = [];
    const outputs: GpuTensor[] = [];
    const encodes: ((encoder: GPUCommandEncoder) => void)[] = [];
    const shape = [starts.at(-1)!, QUERY_HEADS, headDim];
    for (const [group, left] of this.#lefts.entries()) {
      const query = gpu.tensor(
        Float32Array.from(queries[group].flat()),
        shape,
        "world",
      );
      const output = gpu.empty("f32", shape, "world");
      const plan = await planAttention(gpu, {
        query,
        cuSeqlens: starts,
        cache: this.#cache,
        sequences: jobs.map(({ sequence }) => sequence),
        group,
        causal: true,
        // One source for both: no sequence is as long as this.
        window: { left: left ?? 9999 },
        ...this.#pick(CHOICES),
        tiles: TILES,
      });
      this.counts.shared += plan.explain().sharedKeys.length;
      made.push(query, output, plan);
      outputs.push(output);
      const arenas = this.#cache.arenas();
      encodes.push((encoder) =>
        plan.encode(encoder, { query, output, arenas })
      );
    }
    gpu.submit(
      "world",
      (encoder) => encodes.forEach((encode) => encode(encoder)),
    );
    const read = await gpu.read(outputs) as Float32Array[];
    made.forEach((it) => it.destroy());
    const width = QUERY_HEADS * headDim;
    for (const [group, left] of this.#lefts.entries()) {
      jobs.forEach((job, i) =>
        this.#check(job, {
          group,
          left,
          query: queries[group][i],
          actual: read[group].subarray(
            starts[i] * width,
            starts[i + 1] * width,
          ),
        })
      );
    }
    for (const job of jobs) {
      this.#manager.commit(job.sequence);
      this.counts.queries += job.fresh;
      job.fresh = 0;
    }
  }

  #check(
    { tokens, sequence, fresh }: Job,
    { group, left, query, actual }: {
      group: number;
      left: number | undefined;
      query: readonly number[];
      actual: Float32Array;
    },
  ): void {
    const { kvHeads, headDim } = this.#cache;
    const keys = sequence.length;
    const all = (role: number) =>
      Float32Array.from(
        Array.from(
          { length: keys },
          (_, j) => this.#row(tokens, j, { group, role }),
        ).flat(),
      );
    const problem = {
      query: Float32Array.from(query),
      key: all(0),
      value: all(1),
      batch: 1,
      queryLength: fresh,
      keyLength: keys,
      queryHeads: QUERY_HEADS,
      kvHeads,
      headDim,
      valueHeadDim: headDim,
      scale: Math.fround(1 / Math.sqrt(headDim)),
      queryOffset: keys - fresh,
      mask: (_b: number, _h: number, q: number, k: number) =>
        k <= q && k >= q - (left ?? Infinity),
    };
    const expected = referenceAttention(problem).output;
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl }).output;
    const { ok, max } = compareWithBound({ actual, expected, bound });
    assert(
      ok,
      `group ${group}, ${fresh} queries over ${keys} keys: error ${max}, bound ${bound}`,
    );
  }
}

/**
 * Sequences that decode under pressure, swapped out and in as others need
 * room: each sees, bit by bit, what it would have seen with room for all.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  CacheManager,
  type CacheSequence,
  type Gpu,
  KvCache,
  type KvCacheOptions,
  KvSwap,
  OutOfBlocksError,
} from "../../mod.ts";
import type { SequenceReservation } from "../../src/cache/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest } from "../support/gpu.ts";
import { checkProperty } from "../support/property.ts";
import { randomRows, rowsOf, uploadRows } from "./cache_image.ts";

const QUERY_HEADS = 2;
const HOST_BLOCKS = 40;

/** A sequence, and the length at which it ends. */
interface Job {
  readonly id: number;
  readonly sequence: CacheSequence;
  readonly end: number;
}

/** Decodes jobs over a cache that may be too small for all at a time. */
class Service {
  /** What each token's query saw in each layer. */
  readonly outputs: Map<string, number[]> = new Map();
  swaps = 0;
  readonly #gpu: Gpu;
  readonly #cache: KvCache;
  readonly #swap: KvSwap;
  readonly #manager: CacheManager;
  #jobs: Job[] = [];

  constructor(gpu: Gpu, cache: KvCache, swap: KvSwap) {
    this.#gpu = gpu;
    this.#cache = cache;
    this.#swap = swap;
    this.#manager = new CacheManager({
      pool: cache.pool,
      hostBlocks: HOST_BLOCKS,
    });
  }

  /** Begins a sequence, and forks of it after its prompt. */
  begin(prompt: number, ends: readonly number[]): void {
    const tokens = Array.from({ length: prompt }, (_, i) => i);
    const { sequence, pending } = this.#manager.create(tokens);
    const id = this.#jobs.length;
    this.#write(id, 0, this.#manager.reserve(sequence, pending));
    this.#manager.commit(sequence);
    const forks = ends.slice(1)
      .flatMap(() => this.#manager.fork(sequence));
    [sequence, ...forks].forEach((sequence, i) =>
      this.#jobs.push({ id: id + i, sequence, end: prompt + ends[i] })
    );
  }

  async run(): Promise<void> {
    while (this.#jobs.length > 0) {
      await this.#step();
      this.#manager.verify();
      for (const { sequence, end } of this.#jobs) {
        if (sequence.length === end) this.#manager.free(sequence);
      }
      this.#jobs = this.#jobs.filter((job) => job.sequence.status !== "freed");
      await this.#swapIn();
    }
  }

  async #step(): Promise<void> {
    let ready: Job[] = [];
    for (const job of this.#jobs) {
      while (job.sequence.status === "running" && !this.#grow(job)) {
        const victim = this.#jobs.findLast(({ sequence }) =>
          sequence.status === "running"
        )!;
        const transfer = this.#manager.beginSwapOut([victim.sequence]);
        const moving = this.#swap.run(transfer);
        // The others go on meanwhile.
        await this.#attend(ready);
        ready = [];
        await moving;
        this.#manager.completeSwap(transfer);
        this.swaps++;
      }
      if (job.sequence.status === "running") ready.push(job);
    }
    await this.#attend(ready);
  }

  /** Adds a token where there is room. */
  #grow({ id, sequence }: Job): boolean {
    const { length } = sequence;
    try {
      this.#write(id, length, this.#manager.reserve(sequence, [length]));
      return true;
    } catch (error) {
      if (error instanceof OutOfBlocksError) return false;
      throw error;
    }
  }

  /** Brings back as many as there is room for, all in one transfer. */
  async #swapIn(): Promise<void> {
    const out = this.#jobs.filter(({ sequence }) =>
      sequence.status === "swapped"
    ).map(({ sequence }) => sequence);
    for (; out.length > 0; out.pop()) {
      try {
        const transfer = this.#manager.beginSwapIn(out);
        await this.#swap.run(transfer);
        return this.#manager.completeSwap(transfer);
      } catch (error) {
        if (!(error instanceof OutOfBlocksError)) throw error;
      }
    }
  }

  #write(
    id: number,
    position: number,
    reservation: SequenceReservation,
  ): void {
    const step = this.#cache.step([reservation]);
    for (let layer = 0; layer < this.#cache.layers; layer++) {
      const seed = 1000 * id + 100 * layer + position;
      const rows = randomRows(this.#cache, step.tokens, seed);
      using tensors = uploadRows(this.#gpu, this.#cache, rows);
      step.write({ layer, ...tensors });
    }
  }

  async #attend(jobs: readonly Job[]): Promise<void> {
    if (jobs.length === 0) return;
    const width = QUERY_HEADS * this.#cache.headDim;
    const data = rowsOf(this.#cache, jobs.length * width);
    jobs.forEach(({ id, sequence }, i) => {
      const prng = new Prng(7000 + 100 * id + sequence.length);
      const row = data.subarray(i * width, (i + 1) * width);
      row.forEach((_, n) => row[n] = prng.normal());
    });
    const query = {
      data,
      shape: [jobs.length, 1, QUERY_HEADS, this.#cache.headDim],
    };
    for (let layer = 0; layer < this.#cache.layers; layer++) {
      const { output } = await attention(this.#gpu, {
        query,
        cache: this.#cache,
        sequences: jobs.map(({ sequence }) => sequence),
        layer,
      });
      const size = output.data.length / jobs.length;
      jobs.forEach(({ id, sequence }, i) =>
        this.outputs.set(
          `job ${id}, token ${sequence.length}, layer ${layer}`,
          [
            ...output.data.subarray(i * size, (i + 1) * size),
          ],
        )
      );
    }
    for (const { sequence } of jobs) this.#manager.commit(sequence);
  }
}

const NAME = "attention() sees the same after a swap";

/** Prompts, and how many tokens the sequence and each fork of it go on for. */
const requests = fc.array(
  fc.record({
    prompt: fc.integer({ min: 1, max: 6 }),
    ends: fc.array(fc.integer({ min: 1, max: 8 }), {
      minLength: 1,
      maxLength: 2,
    }),
  }),
  { minLength: 2, maxLength: 2 },
);

function registerTest(
  name: string,
  layout: Omit<KvCacheOptions, "numBlocks">,
  features: string[],
): void {
  gpuTest(name, async (_, gpu) => {
    let swaps = 0;
    await checkProperty(
      name,
      [requests, fc.integer({ min: 1, max: 5 })],
      async (list, stagingBlocks) => {
        const results: Map<string, number[]>[] = [];
        for (const numBlocks of [41, 9]) {
          using cache = await KvCache.create(gpu, { ...layout, numBlocks });
          using swap = await KvSwap.create(cache, {
            hostBlocks: HOST_BLOCKS,
            stagingBlocks,
          });
          const service = new Service(gpu, cache, swap);
          for (const { prompt, ends } of list) service.begin(prompt, ends);
          await service.run();
          assertEquals(cache.pool.freeBlocks, cache.pool.totalBlocks);
          if (numBlocks === 41) assertEquals(service.swaps, 0);
          swaps += service.swaps;
          results.push(service.outputs);
        }
        const [roomy, tight] = results;
        assertEquals(tight.size, roomy.size);
        for (const [key, output] of roomy) {
          assert(output.some((x) => x !== 0), key);
          assertEquals(tight.get(key), output, key);
        }
      },
      {
        runs: 3,
        examples: [
          [[{ prompt: 5, ends: [8, 5] }, { prompt: 4, ends: [7] }], 1],
        ],
      },
    );
    assertGreater(swaps, 0, "no sequence was swapped");
  }, { features });
}

const SHAPE = { blockSize: 2, layers: 2, kvHeads: 1 };
registerTest(NAME, { ...SHAPE, headDim: 8 }, []);
registerTest(
  `${NAME}, odd rows of f16 in many arenas`,
  {
    ...SHAPE,
    headDim: 5,
    valueHeadDim: 3,
    dtype: "f16",
    maxArenaBytes: 11 * SHAPE.blockSize * 8 * 2,
  },
  ["shader-f16"],
);

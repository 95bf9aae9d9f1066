/**
 * Serving without a device: prefix look-up, a long run over a manager, and a
 * scheduler's step with many running sequences.
 *
 * @module
 */

import {
  BlockPool,
  BlockTable,
  CacheManager,
  ContiguousSequence,
  ExtentPool,
  OutOfBlocksError,
  PrefixIndex,
} from "../src/cache/mod.ts";
import { Prng } from "../src/core/prng.ts";
import { Scheduler } from "../src/engine/mod.ts";

const BLOCK_SIZE = 16;

function manager(numBlocks: number): CacheManager {
  const pool = new BlockPool({ numBlocks, blockSize: BLOCK_SIZE });
  return new CacheManager({ pool, index: new PrefixIndex(pool) });
}

const PROMPT = Array.from({ length: 1024 }, (_, i) => i);
const cached = manager(4096);
const { sequence: first, pending } = cached.create(PROMPT);
cached.reserve(first, pending);
cached.commit(first);

Deno.bench({
  name: "create, 1024 tokens all but one found again, free",
  group: "prefix",
  fn: () => cached.free(cached.create(PROMPT).sequence),
});

/** A sequence comes or goes, or one grows: what a service does all day. */
class Churn {
  readonly #cache: CacheManager;
  readonly #random = new Prng(1);
  readonly #live: ReturnType<CacheManager["create"]>["sequence"][] = [];

  constructor(cache: CacheManager) {
    this.#cache = cache;
  }

  step(): void {
    const live = this.#live;
    const pick = this.#random.below(live.length);
    try {
      if (live.length < 64 || this.#random.below(64) === 0) {
        const start = this.#random.below(8);
        const prompt = PROMPT.slice(start, start + 256);
        const { sequence, pending } = this.#cache.create(prompt);
        live.push(sequence);
        this.#cache.reserve(sequence, pending);
        this.#cache.commit(sequence);
      } else {
        this.#cache.reserve(live[pick], [this.#random.below(50_000)]);
        this.#cache.commit(live[pick]);
      }
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      for (const sequence of live.splice(0, live.length / 2)) {
        this.#cache.free(sequence);
      }
    }
  }
}

for (const numBlocks of [1_000, 100_000]) {
  const churn = new Churn(manager(numBlocks));
  Deno.bench({
    name: `1000 operations over ${numBlocks} blocks`,
    group: "churn: the cost does not grow with the pool",
    baseline: numBlocks === 1_000,
    fn: () => {
      for (let i = 0; i < 1000; i++) churn.step();
    },
  });
}

/** Room for each of as many sequences, and half of that to move within. */
function grown(sequences: number, tokens: number) {
  const perSequence = Math.ceil(tokens / BLOCK_SIZE);
  const numBlocks = Math.ceil(1.5 * sequences * perSequence) + 1;
  return { numBlocks, blockSize: BLOCK_SIZE };
}

/** Reserves a token in each of many sequences, as often as they take. */
function grow(sequences: readonly (BlockTable | ContiguousSequence)[]): void {
  for (let i = 0; i < 256; i++) {
    for (const sequence of sequences) sequence.reserve(1);
  }
  for (const sequence of sequences) sequence.free();
}

for (const count of [8, 64]) {
  const group = `reserve: 256 tokens one by one in ${count} sequences, free`;
  const size = grown(count, 512);
  const each = Array.from({ length: count });
  const pool = new BlockPool(size);
  Deno.bench({
    name: "blocks",
    group,
    baseline: true,
    fn: () => grow(each.map(() => new BlockTable(pool))),
  });
  const extents = new ExtentPool(size);
  for (const policy of ["page", "powerOfTwo", "max"] as const) {
    const growth = { policy, maxLength: 512 };
    Deno.bench({
      name: `extents, ${policy}`,
      group,
      fn: () => grow(each.map(() => new ContiguousSequence(extents, growth))),
    });
  }
}

for (const running of [100, 10_000]) {
  const pool = new BlockPool({ numBlocks: 4 * running, blockSize: BLOCK_SIZE });
  const scheduler = new Scheduler({
    cache: new CacheManager({ pool }),
    tokenBudget: 4 * running,
    maxSequences: running,
  });
  let next = 0;
  const fill = () => {
    while (scheduler.size < running) {
      scheduler.add({ id: `${next++}`, prompt: [1, 2, 3], maxTokens: 40 });
    }
  };
  const step = () => {
    fill();
    const { work } = scheduler.schedule();
    scheduler.commit({
      results: work.filter(({ samples }) => samples > 0).map((item) => ({
        request: item.request,
        branch: item.branch,
        tokens: new Array(item.samples).fill(item.start),
      })),
    });
  };
  step();
  Deno.bench({
    name: `schedule and commit a step of ${running} sequences`,
    // A group of its own: a hundred times the work is nothing to compare.
    group: `a step of ${running} sequences`,
    fn: step,
  });
}

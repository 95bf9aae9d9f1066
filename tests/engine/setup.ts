/**
 * A small scheduler and what drives it.
 *
 * @module
 */

import {
  BlockPool,
  CacheManager,
  type CacheManagerOptions,
  PrefixIndex,
} from "../../src/cache/mod.ts";
import {
  type RequestOptions,
  type SampleResult,
  Scheduler,
  type SchedulerPolicy,
  type Step,
} from "../../src/engine/mod.ts";

/** What {@linkcode setup} makes. */
export type SetupOptions =
  & SchedulerPolicy
  & Pick<CacheManagerOptions, "hostBlocks" | "watermark">
  & { numBlocks?: number; blockSize?: number; cached?: boolean };

/** Tokens 0, 1, 2, ... */
export function tokens(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** A scheduler over a small pool. */
export function setup(options: SetupOptions = {}) {
  const { numBlocks = 11, blockSize = 2, cached = false, ...rest } = options;
  const { hostBlocks = 0, watermark = 0, ...policy } = rest;
  const pool = new BlockPool({ numBlocks, blockSize });
  const index = cached ? { index: new PrefixIndex(pool) } : {};
  const cache = new CacheManager({ pool, hostBlocks, watermark, ...index });
  const scheduler = new Scheduler({ cache, tokenBudget: 16, ...policy });
  const add = (
    id: string,
    prompt: number,
    more: Partial<RequestOptions> = {},
  ) => scheduler.add({ id, prompt: tokens(prompt), maxTokens: 4, ...more });
  /** Samples 7 for everything. */
  const sample = ({ work }: Step): SampleResult[] =>
    work.filter(({ samples }) => samples > 0).map((item) => ({
      request: item.request,
      branch: item.branch,
      tokens: new Array<number>(item.samples).fill(7),
    }));
  const step = () => {
    const made = scheduler.schedule();
    const finished = scheduler.commit({ results: sample(made) });
    scheduler.verify();
    return { step: made, finished };
  };
  return { pool, cache, scheduler, add, sample, step };
}

/** Who computes how many tokens. */
export function served({ work }: Step): string {
  return work.map((item) => `${item.request}:${item.tokens.length}`).join(" ");
}

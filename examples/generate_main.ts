// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:generate`: three requests, served step by step, and what
 * they generate held against the decoder alone.
 *
 * @module
 */

import { CacheManager, KvCache, openGpu, PrefixIndex } from "../mod.ts";
import { readCommand } from "../src/cli/arguments.ts";
import {
  type RequestOptions,
  Scheduler,
  type Step,
} from "../src/engine/mod.ts";
import { generate } from "./generate.ts";
import { generateAlone } from "./generate_alone.ts";
import { TinyDecoder } from "./tiny_decoder.ts";

const SIZES = {
  vocabulary: 64,
  layers: 2,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxLength: 64,
};

const SHARED = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

const REQUESTS: readonly RequestOptions[] = [
  { id: "a", prompt: [...SHARED, 9, 7, 9, 3, 2], maxTokens: 10 },
  { id: "b", prompt: [...SHARED, 7], maxTokens: 10 },
  { id: "c", prompt: [2, 7, 1, 8, 2, 8], maxTokens: 8, samples: 3 },
];

/** What a step did, in one line. */
function describe({ iteration, work, operations, preempted }: Step): string {
  const computed = work.map(({ request, branch, start, tokens }) => {
    const last = start + tokens.length - 1;
    const positions = last > start ? `${start}-${last}` : `${start}`;
    return `${request}${branch || ""}:${positions}`;
  });
  return [
    `${iteration}`.padStart(4),
    computed.join(" ").padEnd(32),
    operations.length > 0 ? `copied ${operations.length} blocks` : "",
    ...preempted.map(({ request }) => `preempted ${request}`),
  ].join("  ").trimEnd();
}

async function main(): Promise<void> {
  const decoder = new TinyDecoder(SIZES, 1);
  const { layers, kvHeads, headDim } = SIZES;
  using gpu = await openGpu();
  using cache = await KvCache.create(gpu, {
    numBlocks: 14, // too few for all at once
    blockSize: 4,
    layers,
    kvHeads,
    headDim,
  });
  const manager = new CacheManager({
    pool: cache.pool,
    index: new PrefixIndex(cache.pool),
  });
  const scheduler = new Scheduler({ cache: manager, tokenBudget: 8 });
  for (const request of REQUESTS) scheduler.add(request);

  console.log("step  computed, request:positions");
  const finished = await generate(
    scheduler,
    { decoder, cache },
    (step) => console.log(describe(step)),
  );

  console.log("\nrequest  tokens");
  for (const { id, branches } of finished) {
    const { prompt, maxTokens } = REQUESTS.find((r) => r.id === id)!;
    for (const [branch, { tokens }] of branches.entries()) {
      const options = { maxTokens, branch };
      const alone = await generateAlone(decoder, prompt, options);
      const same = alone.every((token, i) => token === tokens[i]);
      if (!same) Deno.exitCode = 1;
      const name = `${id}${branch || ""}`.padEnd(7);
      console.log(
        `${name}  ${tokens.join(" ")}, ${same ? "as" : "NOT as"} alone`,
      );
    }
  }
  const { hitTokens } = manager.index!.stats;
  console.log(`\n${hitTokens} tokens of prompts were found in the cache`);
}

const USAGE = `Usage: deno task example:generate
  Serves three requests of a tiny decoder, step by step, and proves the tokens`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}

/**
 * The engine on a device: scheduler, cache and attention together generate what
 * a decoder does alone, whatever is shared, forked, cut, copied or preempted.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { generate } from "../../examples/generate.ts";
import { generateAlone } from "../../examples/generate_alone.ts";
import { TinyDecoder } from "../../examples/tiny_decoder.ts";
import { CacheManager, KvCache, KvSwap, PrefixIndex } from "../../mod.ts";
import { gpuEnvironment } from "../../src/cli/setup.ts";
import {
  type RequestOptions,
  Scheduler,
  type SchedulerPolicy,
  type Step,
} from "../../src/engine/mod.ts";
import { gpuTest, SKIP_REASON } from "../support/gpu.ts";
import { AttentionHistory } from "./attention_history.ts";

const HOST_BLOCKS = 8;

const SIZES = {
  vocabulary: 32,
  layers: 2,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxLength: 32,
};

/** A prompt of tokens `first`, `first` + 1, ... */
function text(first: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (first + i) % SIZES.vocabulary);
}

const REQUESTS: readonly RequestOptions[] = [
  { id: "long", prompt: text(0, 17), maxTokens: 9 },
  { id: "alike", prompt: [...text(0, 9), ...text(20, 3)], maxTokens: 7 },
  { id: "wide", prompt: text(8, 6), maxTokens: 6, samples: 3 },
  { id: "last", prompt: text(3, 10), maxTokens: 9 },
];

/** What has happened in some steps. */
class Counts {
  chunks = 0;
  decodes = 0;
  forked = 0;
  copies = 0;
  swaps = 0;
  preempted = 0;

  add({ work, operations, preempted }: Step): void {
    for (const { tokens, branch, samples } of work) {
      if (samples === 0) this.chunks++;
      else if (tokens.length === 1) this.decodes++;
      if (branch > 0) this.forked++;
    }
    for (const { type } of operations) {
      if (type === "copy") this.copies++;
      else this.swaps++;
    }
    this.preempted += preempted.length;
  }
}

function check(preemption: NonNullable<SchedulerPolicy["preemption"]>): void {
  const name = `A decoder is served as if alone, preempted by ${preemption}`;
  gpuTest(name, async (_, gpu) => {
    const decoder = new TinyDecoder(SIZES, 1);
    const { layers, kvHeads, headDim } = SIZES;
    using cache = await KvCache.create(gpu, {
      numBlocks: 14,
      blockSize: 4,
      layers,
      kvHeads,
      headDim,
    });
    using swap = await KvSwap.create(cache, { hostBlocks: HOST_BLOCKS });
    const index = new PrefixIndex(cache.pool);
    const manager = new CacheManager({
      pool: cache.pool,
      index,
      hostBlocks: HOST_BLOCKS,
    });
    const scheduler = new Scheduler({
      cache: manager,
      tokenBudget: 8,
      preemption,
    });
    for (const request of REQUESTS) scheduler.add(request);

    const history = new AttentionHistory(SIZES);
    const counts = new Counts();
    const finished = await generate(scheduler, {
      decoder,
      cache,
      swap,
      onAttention: (attention) => history.check(attention),
    }, (step) => {
      counts.add(step);
      scheduler.verify();
    });

    for (const { id, prompt, maxTokens, samples = 1 } of REQUESTS) {
      const { branches } = finished.find((request) => request.id === id)!;
      for (let branch = 0; branch < samples; branch++) {
        const alone = await generateAlone(decoder, prompt, {
          maxTokens,
          branch,
        });
        assertEquals(branches[branch].tokens, alone, `${id}, branch ${branch}`);
      }
    }
    // All of it has happened.
    const { swaps, ...always } = counts;
    assertEquals(swaps > 0, preemption === "swap");
    for (const [what, count] of Object.entries(always)) {
      assert(count > 0, `no ${what}`);
    }
    assert(index.stats.hitTokens > 0, "no prefix was found");
    assertEquals(cache.pool.usedBlocks, 0);
  });
}

check("recompute");
check("swap");

Deno.test({
  name: "The example serves three requests as if each were alone",
  // The command runs on Deno's own WebGPU, whatever this process runs on.
  ignore: SKIP_REASON !== undefined ||
    (Deno.env.get("QUIRE_WEBGPU") ?? "deno") !== "deno",
  fn: async () => {
    const main =
      new URL("../../examples/generate_main.ts", import.meta.url).href;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", main],
      env: gpuEnvironment(),
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    assertEquals([code, err], [0, ""]);
    assertEquals(out.match(/, as alone$/gm)?.length, 5);
    assertStringIncludes(out, "preempted c");
  },
});

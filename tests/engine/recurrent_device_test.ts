/**
 * A service of recurrent layers on a device: scheduler, states and linear
 * attention together generate what each request does alone, whatever is found,
 * forked or preempted, with NaN in every slot that no one holds.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { BlockPool, CacheManager, PrefixIndex } from "../../src/cache/mod.ts";
import {
  type RequestOptions,
  Scheduler,
  type SchedulerPolicy,
} from "../../src/engine/mod.ts";
import { StateCache, StateSwap } from "../../src/kv/mod.ts";
import { poisonStates } from "../kv/states/state_image.ts";
import { gpuTest } from "../support/gpu.ts";
import { nextAlone, runWork, TOY, VOCABULARY } from "./recurrent_decoder.ts";

const HOST_STATES = 8;

function text(first: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (first + i) % VOCABULARY);
}

const REQUESTS: readonly RequestOptions[] = [
  { id: "long", prompt: text(0, 14), maxTokens: 5 },
  { id: "wide", prompt: text(8, 6), maxTokens: 4, samples: 3 },
  { id: "last", prompt: text(3, 9), maxTokens: 4 },
  { id: "alike", prompt: [...text(0, 12), 20, 3], maxTokens: 4 },
];

/** One that comes when all others are done, with the prompt of the last. */
const AGAIN = { ...REQUESTS[3], id: "again" };

/** What a branch of a request generates when it is alone. */
function alone({ prompt, maxTokens }: RequestOptions, branch: number) {
  const tokens = [...prompt, nextAlone(prompt)[branch]];
  while (tokens.length < prompt.length + maxTokens) {
    tokens.push(nextAlone(tokens)[0]);
  }
  return tokens.slice(prompt.length);
}

function check(preemption: NonNullable<SchedulerPolicy["preemption"]>): void {
  const name =
    `Recurrent layers are served as if alone, preempted by ${preemption}`;
  gpuTest(name, async (_, gpu) => {
    using cache = await StateCache.create(gpu, {
      ...TOY,
      numStates: 6,
      blockSize: 4,
    });
    using swap = await StateSwap.create(cache, { hostStates: HOST_STATES });
    const index = new PrefixIndex(cache.pool);
    const manager = new CacheManager({
      pool: new BlockPool({ numBlocks: 2, blockSize: 4 }),
      groups: [{ kind: "state" }],
      states: { pool: cache.pool, index, hostStates: HOST_STATES },
      watermark: 0,
    });
    const scheduler = new Scheduler({
      cache: manager,
      tokenBudget: 12,
      preemption,
    });
    for (const request of REQUESTS) scheduler.add(request);
    const counts = { preempted: 0, rounds: 0, swaps: 0 };
    const finished = [];
    while (scheduler.size > 0) {
      const step = scheduler.schedule();
      counts.preempted += step.preempted.length;
      for (const operation of step.operations) {
        assert(operation.type === "swap", "nothing is copied");
        counts.swaps++;
        await swap.run(operation.transfer);
      }
      poisonStates(cache);
      if (step.work.some(({ states }) => states![0].length > 1)) {
        counts.rounds++;
      }
      const next = await runWork(cache, step.work);
      const results = step.work.flatMap(({ request, branch, samples }, i) =>
        samples === 0
          ? []
          : [{ request, branch, tokens: next[i].slice(0, samples) }]
      );
      finished.push(...step.finished, ...scheduler.commit({ results }));
      scheduler.verify();
      if (scheduler.size === 0 && !finished.some(({ id }) => id === AGAIN.id)) {
        scheduler.add(AGAIN);
      }
    }
    for (const request of [...REQUESTS, AGAIN]) {
      const { branches, reason } = finished.find(({ id }) =>
        id === request.id
      )!;
      assertEquals(reason, "completed", request.id);
      assertEquals(branches.length, request.samples ?? 1);
      branches.forEach(({ tokens }, branch) =>
        assertEquals(tokens, alone(request, branch), `${request.id} ${branch}`)
      );
    }
    // All of it has happened.
    assert(counts.preempted > 0, "no one is preempted");
    assert(counts.rounds > 0, "no state is kept on the way");
    assertEquals(counts.swaps > 0, preemption === "swap");
    assertEquals(index.stats.hitTokens, 12, "the state of 12 tokens is found");
    assertEquals(cache.pool.usedBlocks, 0);
  });
}

check("recompute");
check("swap");

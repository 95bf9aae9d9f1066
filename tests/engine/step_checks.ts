/**
 * What must hold of every step, whatever came before.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { BlockPool, CacheManager } from "../../src/cache/mod.ts";
import type { Scheduler, SchedulerPolicy, Step } from "../../src/engine/mod.ts";
import type { SimulatedRequest } from "./simulation.ts";

/** What a step was made from. */
export interface StepContext {
  readonly pool: BlockPool;
  readonly cache: CacheManager;
  readonly policy: Required<SchedulerPolicy>;
  readonly scheduler: Scheduler;
  readonly live: readonly SimulatedRequest[];
  /** Who ran before. */
  readonly before: readonly string[];
}

function checkWork(
  { work, tokens }: Step,
  { pool, policy }: StepContext,
): void {
  const sum = work.reduce((total, item) => total + item.tokens.length, 0);
  assertEquals(tokens, sum);
  assert(sum <= policy.tokenBudget, "the budget is exceeded");
  const names = work.map(({ request, branch }) => `${request} ${branch}`);
  assertEquals(new Set(names).size, names.length, "a sequence comes twice");
  const written = new Set<number>();
  for (const { tokens, start, slots, blocks } of work) {
    assert(tokens.length > 0 && tokens.length <= policy.longPrefill);
    blocks.forEach((table, group) => {
      const { blockSize } = pool;
      assertEquals(
        table.length,
        Math.ceil((start + tokens.length) / blockSize),
      );
      slots[group].forEach((slot, i) => {
        const position = start + i;
        const id = table[Math.floor(position / blockSize)];
        assertEquals(slot, id * blockSize + position % blockSize);
        assert(!written.has(slot), "a slot is written twice");
        written.add(slot);
        assertEquals(pool.refCount(id), 1, "a shared block is written");
        assert(!pool.isCached(id), "a cached block is written");
      });
    });
  }
}

/** Live requests in rank order. */
function ranked(live: readonly SimulatedRequest[]): string[] {
  return live
    .toSorted((a, b) => a.key - b.key || a.arrival - b.arrival)
    .map(({ options }) => options.id);
}

/** No one is served while one ahead is not, nor kept while one ahead is preempted. */
function checkOrder(step: Step, { live, scheduler }: StepContext): void {
  const order = ranked(live);
  const served = new Set(step.work.map(({ request }) => request));
  const swappedIn = new Set(
    step.operations.flatMap((operation) =>
      operation.type === "swap" && operation.transfer.direction === "in"
        ? [operation.request]
        : []
    ),
  );
  const last = Math.max(-1, ...[...served].map((id) => order.indexOf(id)));
  for (const id of order.slice(0, last + 1)) {
    assert(served.has(id) || swappedIn.has(id), `${id} is passed over`);
  }
  assertEquals(
    step.work.map(({ request }) => order.indexOf(request)),
    step.work.map(({ request }) => order.indexOf(request)).toSorted((a, b) =>
      a - b
    ),
    "work is in rank order",
  );
  if (order.length > 0) {
    assert(served.has(order[0]) || swappedIn.has(order[0]), "the first waits");
  }
  const { running, waiting } = scheduler;
  for (const { request } of step.preempted) {
    // One preempted by an attempt that failed may be back already.
    if (!waiting.includes(request)) continue;
    const kept = running.filter((id) =>
      order.indexOf(id) > order.indexOf(request)
    );
    assertEquals(kept, [], `${request} is preempted before these`);
  }
}

/** Who was admitted last, to others, left the watermark free. */
function checkWatermark({ cache, pool, scheduler, before }: StepContext): void {
  const { running } = scheduler;
  const last = running.at(-1);
  if (running.length < 2 || before.includes(last!)) return;
  assert(
    pool.freeBlocks >= cache.watermarkBlocks,
    `${last} was admitted below the watermark`,
  );
}

/** Checks a step that was just handed out. */
export function checkStep(step: Step, context: StepContext): void {
  checkWork(step, context);
  checkOrder(step, context);
  checkWatermark(context);
  for (const id of step.freed) assertEquals(context.pool.refCount(id), 0);
}

import { assertEquals, assertThrows } from "@std/assert";
import type { CacheManager } from "../../src/cache/mod.ts";
import type { SchedulerPolicy } from "../../src/engine/mod.ts";
import { served, setup } from "./setup.ts";

/** Lets one call of `reserve` throw, `after` that many that do not. */
function breakReserve(cache: CacheManager, after: number): void {
  const { reserve } = cache;
  let calls = 0;
  cache.reserve = (...args) => {
    if (calls++ === after) throw new Error("injected");
    return reserve.apply(cache, args);
  };
}

/** Three requests, the last of which is swapped out by the third step. */
function swapping(policy: SchedulerPolicy = {}) {
  const world = setup({
    numBlocks: 7,
    hostBlocks: 3,
    preemption: "swap",
    cached: true,
    ...policy,
  });
  for (const id of ["a", "b", "c"]) {
    world.add(id, 3, { domain: { salt: id } });
  }
  world.step();
  world.step();
  return world;
}

Deno.test("Scheduler.schedule() takes its work back if the cache throws", () => {
  const { scheduler, cache, add, step } = setup();
  add("a", 3);
  add("b", 3);
  step();
  breakReserve(cache, 1);
  assertThrows(() => scheduler.schedule(), Error, "injected");
  assertEquals([scheduler.inFlight, scheduler.iteration], [false, 1]);
  scheduler.verify();
  const { step: second } = step();
  assertEquals(second.iteration, 1);
  assertEquals(second.work.map(({ start, tokens }) => [start, tokens]), [
    [3, [7]],
    [3, [7]],
  ]);
});

Deno.test("Scheduler.schedule() moves beams once, also at a second try", () => {
  const { scheduler, cache, add } = setup({ numBlocks: 20 });
  add("beams", 2, { beams: 3, maxTokens: 9 });
  add("other", 2, { maxTokens: 9 });
  scheduler.schedule();
  const other = { request: "other", tokens: [7] };
  const first = { request: "beams", tokens: [1, 2, 3] };
  scheduler.commit({ results: [first, other] });
  const beams = [[1, 4], [2, 5], [0, 6]].map(([parent, token], branch) => ({
    request: "beams",
    branch,
    tokens: [token],
    parent,
  }));
  scheduler.schedule();
  scheduler.commit({ results: [...beams, other] });
  const held = cache.sequences.filter((_, i) => i !== 1);
  breakReserve(cache, 0);
  assertThrows(() => scheduler.schedule(), Error, "injected");
  const moved = held.map(({ tokens }) => tokens);
  assertEquals(moved.map((tokens) => tokens[2]), [2, 3, 1]);
  scheduler.schedule();
  assertEquals(held.map(({ tokens }) => tokens.slice(0, 3)), moved);
});

Deno.test("Scheduler.schedule() keeps pending operations for a second try", () => {
  const { scheduler, cache, step } = swapping();
  breakReserve(cache, 2);
  assertThrows(() => scheduler.schedule(), Error, "injected");
  scheduler.verify();
  const { step: third } = step();
  assertEquals(third.operations.map(({ type }) => type), ["swap"]);
  assertEquals(third.preempted, [{ request: "c", by: "swap" }]);
});

Deno.test("Scheduler.loseDevice() drops pending operations", () => {
  const { scheduler, cache, step } = swapping();
  breakReserve(cache, 2);
  assertThrows(() => scheduler.schedule(), Error, "injected");
  scheduler.loseDevice(new Error("gone"));
  const { step: next } = step();
  assertEquals([served(next), next.operations], ["a:5 b:5", []]);
});

Deno.test("Scheduler.loseDevice() keeps what is in host memory", () => {
  const { scheduler, step } = swapping();
  step();
  scheduler.loseDevice(new Error("gone"));
  for (const id of ["a", "b"]) scheduler.abort(id);
  const { step: next } = step();
  assertEquals([served(next), next.operations.length], ["", 1]);
  assertEquals(served(step().step), "c:1");
});

Deno.test("Scheduler.loseHost() computes again what was there, no restart", () => {
  const { scheduler, cache, step } = swapping({ maxRestarts: 0 });
  step();
  assertEquals(cache.freeHostBlocks, 1);
  assertEquals(scheduler.loseHost(), ["c"]);
  scheduler.verify();
  assertEquals(cache.freeHostBlocks, 3);
  assertEquals(scheduler.waiting, ["c"]);
  assertEquals(scheduler.loseHost(), []);
  for (const id of ["a", "b"]) scheduler.abort(id);
  const { step: next, finished } = step();
  assertEquals([served(next), next.operations, finished], ["c:5", [], []]);
  const { hitTokens, resumes, recoveredTokens } = cache.index!.stats;
  assertEquals([hitTokens, resumes, recoveredTokens], [0, 1, 0]);
});

Deno.test("Scheduler.loseHost() discards who is swapped in, also in a step", () => {
  const { scheduler, cache, pool, step, sample } = swapping();
  step();
  for (const id of ["a", "b"]) scheduler.abort(id);
  const back = scheduler.schedule();
  assertEquals(back.operations.map(({ type }) => type), ["swap"]);
  assertEquals(scheduler.loseHost(), ["c"]);
  scheduler.verify();
  assertEquals([pool.usedBlocks, cache.freeHostBlocks], [0, 3]);
  assertEquals(scheduler.commit({ results: sample(back) }), []);
  assertEquals([scheduler.running, scheduler.waiting], [[], ["c"]]);
  assertEquals(served(step().step), "c:5");
});

Deno.test("Scheduler.loseHost() drops pending swaps", () => {
  const { scheduler, cache, step } = swapping();
  breakReserve(cache, 2);
  assertThrows(() => scheduler.schedule(), Error, "injected");
  assertEquals(scheduler.loseHost(), ["c"]);
  assertEquals(step().step.operations, []);
  assertEquals([scheduler.running, scheduler.waiting], [["a", "b"], ["c"]]);
});

Deno.test("Scheduler computes again what failed to be swapped, as no hit", () => {
  const { scheduler, cache, sample, step } = swapping();
  const third = scheduler.schedule();
  const failed = [{ request: "c", error: new Error("refused") }];
  scheduler.commit({ results: sample(third), failed });
  scheduler.verify();
  assertEquals(cache.freeHostBlocks, 3);
  for (const id of ["a", "b"]) scheduler.abort(id);
  const { hitTokens, resumes, recoveredTokens } = (step(), cache.index!.stats);
  assertEquals([hitTokens, resumes, recoveredTokens], [0, 1, 0]);
});

Deno.test("Scheduler.verify() notices who else uses the cache", () => {
  const { scheduler, cache, add } = setup();
  add("a", 3);
  scheduler.schedule();
  scheduler.verify();
  const stranger = cache.create([1]).sequence;
  assertThrows(() => scheduler.verify(), Error, "belongs to one request");
  cache.free(stranger);
  scheduler.verify();
  cache.preempt(cache.sequences[0]);
  assertThrows(() => scheduler.verify(), Error, "the status of their request");
});

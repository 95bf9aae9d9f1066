import { assert, assertEquals } from "@std/assert";
import { OutOfBlocksError } from "../../src/cache/mod.ts";
import { served, setup, tokens } from "./setup.ts";

Deno.test("Scheduler.schedule() says what is computed, where and how", () => {
  const { scheduler, cache, add } = setup();
  add("a", 3);
  assertEquals(scheduler.waiting, ["a"]);
  const step = scheduler.schedule();
  assertEquals(step, {
    iteration: 0,
    operations: [],
    work: [{
      request: "a",
      branch: 0,
      sequence: cache.sequences[0],
      tokens: [0, 1, 2],
      start: 0,
      slots: [Uint32Array.of(2, 3, 4)],
      blocks: [[1, 2]],
      samples: 1,
    }],
    tokens: 3,
    preempted: [],
    finished: [],
    freed: [],
  });
  assertEquals([scheduler.running, scheduler.inFlight], [["a"], true]);
  scheduler.commit({ results: [{ request: "a", tokens: [9] }] });
  const [next] = scheduler.schedule().work;
  assertEquals([next.tokens, next.start, next.samples], [[9], 3, 1]);
  assertEquals(next.slots, [Uint32Array.of(5)]);
});

Deno.test("Scheduler.commit() finishes requests by length, stop token and word", () => {
  const { scheduler, pool, add } = setup();
  add("length", 1, { maxTokens: 1 });
  add("stop", 1, { stop: [5] });
  add("done", 1);
  scheduler.schedule();
  const finished = scheduler.commit({
    results: [
      { request: "done", tokens: [6], done: true },
      { request: "length", tokens: [6] },
      { request: "stop", tokens: [5] },
    ],
  });
  assertEquals(
    finished.map(({ id, reason, branches }) => [id, reason, branches]),
    [
      ["length", "completed", [{ tokens: [6], reason: "length" }]],
      ["stop", "completed", [{ tokens: [5], reason: "stop" }]],
      ["done", "completed", [{ tokens: [6], reason: "stop" }]],
    ],
  );
  assertEquals([scheduler.size, pool.usedBlocks], [0, 0]);
  assertEquals(scheduler.schedule().freed, [1, 2, 3]);
});

Deno.test("Scheduler.schedule() cuts prompts, and decodes go along", () => {
  const { add, step } = setup({ tokenBudget: 6, longPrefill: 4 });
  add("a", 2);
  assertEquals(served(step().step), "a:2");
  add("b", 7);
  add("c", 3);
  assertEquals(served(step().step), "a:1 b:4 c:1");
  assertEquals(served(step().step), "a:1 b:3 c:2");
  assertEquals(served(step().step), "a:1 b:1 c:1");
});

Deno.test("Scheduler.schedule() leaves decodes a part of a prompt's budget", () => {
  const { add, step } = setup({ tokenBudget: 8, numBlocks: 40 });
  for (const id of ["a", "b", "c"]) add(id, 1, { maxTokens: 9 });
  step();
  add("urgent", 20, { priority: -1 });
  assertEquals(served(step().step), "urgent:5 a:1 b:1 c:1");
  for (const id of ["d", "e", "f"]) add(id, 1, { maxTokens: 9 });
  assertEquals(served(step().step), "urgent:5 a:1 b:1 c:1");
});

Deno.test("Scheduler.schedule() withholds at most half of the budget", () => {
  const { add, step } = setup({ tokenBudget: 4, numBlocks: 40 });
  for (const id of ["a", "b", "c", "d"]) add(id, 1, { maxTokens: 9 });
  step();
  add("urgent", 9, { priority: -1 });
  assertEquals(served(step().step), "urgent:2 a:1 b:1");
});

Deno.test("Scheduler.schedule() serves by priority, then by arrival", () => {
  const { add, step } = setup({ maxSequences: 1 });
  add("late", 1, { priority: 1, maxTokens: 1 });
  add("first", 1, { maxTokens: 1 });
  add("second", 1, { maxTokens: 1 });
  add("urgent", 1, { priority: -1, maxTokens: 1 });
  const order = [1, 2, 3, 4].map(() => served(step().step));
  assertEquals(order, ["urgent:1", "first:1", "second:1", "late:1"]);
});

Deno.test("Scheduler.schedule() lets requests age", () => {
  const order = (aging: number) => {
    const { scheduler, add, step } = setup({ maxSequences: 1, aging });
    step();
    step();
    add("old", 1, { maxTokens: 1, priority: 1 });
    const all: string[] = [];
    for (let i = 0; scheduler.size > 0; i++) {
      if (i < 5) add(`new${i}`, 1, { maxTokens: 1 });
      all.push(served(step().step).split(":")[0]);
    }
    return all.indexOf("old");
  };
  // Overtaken by those that arrive less than `aging` iterations later.
  assertEquals([0, 1, 2, 3, Infinity].map(order), [0, 1, 2, 3, 5]);
});

Deno.test("Scheduler.schedule() admits by the watermark, and no one past it", () => {
  const { scheduler, add, step } = setup({ watermark: 0.3 }); // 3 of 10 blocks
  add("a", 8, { maxTokens: 2 });
  add("b", 7, { maxTokens: 2 });
  add("c", 1, { maxTokens: 2 });
  assertEquals(served(step().step), "a:8");
  assertEquals(scheduler.waiting, ["b", "c"]);
  assertEquals(served(step().step), "a:1");
  assertEquals(served(step().step), "b:7 c:1");
});

Deno.test("Scheduler.schedule() preempts the last in rank", () => {
  const { scheduler, add, step } = setup({ numBlocks: 7 });
  for (const id of ["a", "b", "c"]) add(id, 3);
  step();
  assertEquals(served(step().step), "a:1 b:1 c:1");
  const { step: third } = step();
  assertEquals(third.preempted, [{ request: "c", by: "recompute" }]);
  assertEquals(served(third), "a:1 b:1");
  assertEquals(third.freed, []);
  assertEquals([scheduler.running, scheduler.waiting], [["a", "b"], ["c"]]);
  const { step: fourth, finished } = step();
  assertEquals([served(fourth), finished.length], ["a:1 b:1", 2]);
  // Its two tokens are computed again with the prompt.
  const { step: fifth } = step();
  assertEquals(fifth.work[0].tokens, [0, 1, 2, 7, 7]);
});

Deno.test("Scheduler.schedule() preempts for who arrives ahead", () => {
  const { scheduler, add, step } = setup({ numBlocks: 7 });
  add("a", 4);
  add("b", 4);
  step();
  add("urgent", 7, { priority: -1, maxTokens: 1 });
  const { step: second } = step();
  assertEquals(second.preempted.map(({ request }) => request), ["b"]);
  assertEquals(served(second), "urgent:7");
  assertEquals([scheduler.running, scheduler.waiting], [["a"], ["b"]]);
});

Deno.test("Scheduler.schedule() swaps victims while the host has room", () => {
  const { scheduler, add, step } = setup({
    numBlocks: 7,
    hostBlocks: 3,
    preemption: "swap",
  });
  for (const id of ["a", "b", "c"]) add(id, 3);
  step();
  step();
  const { step: third } = step();
  assertEquals(third.preempted, [{ request: "c", by: "swap" }]);
  const [out] = third.operations;
  assert(out.type === "swap" && out.transfer.direction === "out");
  assertEquals([out.request, out.transfer.copies], ["c", [
    { block: 5, slot: 1, group: 0 },
    { block: 6, slot: 2, group: 0 },
  ]]);
  step();
  const { step: fifth } = step();
  const [back] = fifth.operations;
  assert(back.type === "swap" && back.transfer.direction === "in");
  assertEquals([served(fifth), scheduler.running], ["", ["c"]]);
  const { step: sixth } = step();
  assertEquals([sixth.work[0].tokens, sixth.work[0].start], [[7], 4]);
});

Deno.test("Scheduler.schedule() swaps no one in below the watermark", () => {
  const { scheduler, pool, cache, add, step } = setup({
    numBlocks: 7,
    hostBlocks: 4,
    watermark: 0.34,
    preemption: "swap",
  });
  for (const id of ["a", "b", "c"]) add(id, 1, { maxTokens: 8 });
  while (scheduler.running.length < 3) step();
  while (scheduler.running.length === 3) step();
  assertEquals(scheduler.waiting, ["c"]);
  scheduler.abort("b");
  // There is room for its two blocks, but not for the watermark besides.
  assertEquals([pool.freeBlocks, cache.watermarkBlocks], [3, 2]);
  let made = step();
  while (made.finished.length === 0) {
    assertEquals([served(made.step), scheduler.running], ["a:1", ["a"]]);
    made = step();
  }
  step();
  assertEquals(scheduler.running, ["c"]);
});

Deno.test("Scheduler.schedule() recomputes victims if the host is full", () => {
  const { add, step } = setup({
    numBlocks: 7,
    hostBlocks: 1,
    preemption: "swap",
  });
  for (const id of ["a", "b", "c"]) add(id, 3);
  step();
  step();
  assertEquals(step().step.preempted, [{ request: "c", by: "recompute" }]);
});

Deno.test("Scheduler samples n branches from one computed prompt", () => {
  const { scheduler, pool, add } = setup();
  add("a", 3, { samples: 3, maxTokens: 3, stop: [8] });
  const first = scheduler.schedule();
  assertEquals([first.work.length, first.work[0].samples], [1, 3]);
  scheduler.commit({ results: [{ request: "a", tokens: [4, 8, 6] }] });
  assertEquals(pool.usedBlocks, 2);
  const { work, operations } = scheduler.schedule();
  assertEquals(work.map((w) => [w.branch, w.tokens]), [[0, [4]], [2, [6]]]);
  assertEquals(operations, [{
    type: "copy",
    request: "a",
    copy: { source: 2, destination: 3, rows: 1, group: 0 },
  }]);
  scheduler.commit({
    results: [
      { request: "a", branch: 2, tokens: [8] },
      { request: "a", branch: 0, tokens: [5] },
    ],
  });
  scheduler.schedule();
  const finished = scheduler.commit({
    results: [{ request: "a", tokens: [5] }],
  });
  assertEquals(finished[0].branches, [
    { tokens: [4, 5, 5], reason: "length" },
    { tokens: [8], reason: "stop" },
    { tokens: [6, 8], reason: "stop" },
  ]);
});

Deno.test("Scheduler moves beams together, by one reorder", () => {
  const { scheduler, pool, add } = setup();
  add("a", 3, { beams: 2, maxTokens: 3 });
  scheduler.schedule();
  scheduler.commit({ results: [{ request: "a", tokens: [4, 5] }] });
  scheduler.schedule();
  assertEquals(pool.usedBlocks, 3);
  scheduler.commit({
    results: [
      { request: "a", branch: 0, tokens: [6], parent: 1 },
      { request: "a", branch: 1, tokens: [7], parent: 1 },
    ],
  });
  const { work } = scheduler.schedule();
  assertEquals(work.map(({ tokens }) => tokens), [[6], [7]]);
  assertEquals(work[0].blocks[0].slice(0, 2), work[1].blocks[0].slice(0, 2));
  const [finished] = scheduler.commit({
    results: [
      { request: "a", branch: 0, tokens: [8] },
      { request: "a", branch: 1, tokens: [9], done: true },
    ],
  });
  assertEquals(finished.branches, [
    { tokens: [5, 6, 8], reason: "stop" },
    { tokens: [5, 7, 9], reason: "stop" },
  ]);
});

Deno.test("Scheduler computes what branches share once, also again", () => {
  const { scheduler, add, step } = setup({ numBlocks: 8, tokenBudget: 8 });
  add("wide", 4, { samples: 2, maxTokens: 3 });
  step();
  step();
  add("urgent", 8, { priority: -1, maxTokens: 1 });
  assertEquals(served(step().step), "urgent:8");
  assertEquals(scheduler.waiting, ["wide"]);
  // Both have [7, 7]: all but the last token is common.
  assertEquals(served(step().step), "wide:5");
  assertEquals(served(step().step), "wide:1 wide:1");
});

Deno.test("Scheduler fails a request whose branches outgrow the pool", () => {
  const { scheduler, add, step } = setup({ numBlocks: 5 });
  add("a", 1, { samples: 3, maxTokens: 8 });
  const errors: unknown[] = [];
  for (let i = 0; scheduler.size > 0; i++) {
    assert(i < 30);
    for (const { reason, error } of step().step.finished) {
      assertEquals(reason, "failed");
      errors.push(error);
    }
  }
  assertEquals(errors.length, 1);
  assert(errors[0] instanceof OutOfBlocksError);
});

Deno.test("Scheduler shares cached prefixes, and counts a resume as no hit", () => {
  const { add, step, cache } = setup({ cached: true, numBlocks: 7 });
  add("a", 6, { maxTokens: 1 });
  step();
  add("b", 6, { maxTokens: 4 });
  assertEquals(served(step().step), "b:1");
  add("c", 8, { priority: -1, maxTokens: 1, prompt: tokens(8).toReversed() });
  step();
  step();
  const { hitTokens, resumes, recoveredTokens } = cache.index!.stats;
  assertEquals([hitTokens, resumes, recoveredTokens], [5, 1, 4]);
});

Deno.test("Scheduler.abort() finishes a request anywhere, also in a step", () => {
  const { scheduler, pool, add, sample } = setup();
  add("waiting", 2);
  assertEquals(scheduler.abort("waiting"), {
    id: "waiting",
    reason: "aborted",
    branches: [{ tokens: [], reason: "aborted" }],
  });
  add("a", 2);
  add("b", 2);
  const step = scheduler.schedule();
  scheduler.abort("a");
  assertEquals(scheduler.has("a"), false);
  // Another may take the name meanwhile.
  add("a", 3);
  scheduler.commit({ results: sample(step) });
  assertEquals(scheduler.schedule().work.map((w) => w.start), [2, 0]);
  scheduler.abort("b");
  scheduler.abort("a");
  scheduler.commit({ results: [] });
  scheduler.verify();
  assertEquals(pool.usedBlocks, 0);
});

Deno.test("Scheduler.loseDevice() computes everything again, to a point", () => {
  const { scheduler, add, step, pool, cache } = setup({
    maxRestarts: 1,
    cached: true,
  });
  const error = new Error("gone");
  add("a", 4);
  step();
  cache.index!.pin([0, 1, 2, 3, 4]);
  scheduler.schedule();
  assertEquals(scheduler.loseDevice(error), []);
  assertEquals([pool.usedBlocks, pool.evictableBlocks], [0, 0]);
  assertEquals([scheduler.waiting, scheduler.inFlight], [["a"], false]);
  // Between steps it costs no one a restart.
  scheduler.loseDevice(error);
  assertEquals(scheduler.schedule().work[0].tokens, [0, 1, 2, 3, 7]);
  assertEquals(scheduler.loseDevice(error), [{
    id: "a",
    reason: "failed",
    branches: [{ tokens: [7], reason: "failed" }],
    error,
  }]);
  scheduler.verify();
});

Deno.test("Scheduler.commit() lets failed requests begin again, and no other", () => {
  const { scheduler, add, sample } = setup({ maxRestarts: 1 });
  add("a", 2);
  add("b", 2);
  const error = new Error("wrong");
  const failed = [{ request: "a", error }];
  const first = scheduler.schedule();
  const results = sample(first).filter(({ request }) => request === "b");
  assertEquals(scheduler.commit({ results, failed }), []);
  const second = scheduler.schedule();
  assertEquals(served(second), "a:2 b:1");
  const [finished] = scheduler.commit({ results: sample(second), failed });
  assertEquals([finished.id, finished.reason, finished.error], [
    "a",
    "failed",
    error,
  ]);
  assertEquals(scheduler.running, ["b"]);
  scheduler.verify();
});

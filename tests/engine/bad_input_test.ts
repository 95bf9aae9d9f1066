import { assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  type PrefixDomain,
} from "../../src/cache/mod.ts";
import {
  type RequestOptions,
  Scheduler,
  type SchedulerPolicy,
  type StepOutcome,
} from "../../src/engine/mod.ts";
import { setup } from "./setup.ts";

type Kind = new (message: string) => Error;

Deno.test("new Scheduler() refuses bad options", () => {
  const pool = new BlockPool({ numBlocks: 4, blockSize: 2 });
  const cache = new CacheManager({ pool });
  const refused = (policy: object, error: Kind, text: string) =>
    assertThrows(
      () =>
        new Scheduler(
          { cache, ...policy } as SchedulerPolicy & {
            cache: CacheManager;
          },
        ),
      error,
      text,
    );
  refused(
    { tokenBudget: 0 },
    RangeError,
    "tokenBudget must be an integer >= 1",
  );
  refused({ tokenBudget: 1.5 }, RangeError, "current value is 1.5");
  refused({ tokenBudget: "8" }, TypeError, "tokenBudget must be an integer");
  refused({ maxSequences: 0 }, RangeError, "maxSequences");
  refused({ longPrefill: -1 }, RangeError, "longPrefill");
  refused({ aging: -1 }, RangeError, "aging");
  refused({ aging: NaN }, RangeError, "aging");
  refused({ preemption: "wait" }, RangeError, "preemption");
  refused({ maxRestarts: -1 }, RangeError, "maxRestarts");
  refused({ cache: pool }, TypeError, "cache must be a CacheManager");
  cache.create([1]);
  refused({}, TypeError, "without sequences");
});

Deno.test("Scheduler.add() refuses bad requests and adds none", () => {
  const { scheduler, add } = setup({ maxSequences: 4 }); // 20 tokens
  const refused = (options: object, error: Kind, text: string) => {
    const request = { id: "b", prompt: [1], maxTokens: 2, ...options };
    assertThrows(() => scheduler.add(request as RequestOptions), error, text);
  };
  add("a", 1);
  refused({ id: 7 }, TypeError, "id must be a string");
  refused({ id: "a" }, RangeError, "id must not be that of a live request");
  refused({ prompt: [] }, RangeError, "prompt must not be empty");
  refused({ prompt: "text" }, TypeError, "tokens must be an array");
  refused({ prompt: [1, -1] }, RangeError, "tokens[1]");
  refused({ prompt: [0.5] }, RangeError, "tokens[0]");
  refused({ maxTokens: 0 }, RangeError, "maxTokens must be an integer >= 1");
  refused({ maxTokens: -2 }, RangeError, "maxTokens");
  refused({ maxTokens: 2.5 }, RangeError, "maxTokens");
  refused({ maxTokens: 2 ** 40 }, RangeError, "prompt.length + maxTokens - 1");
  refused({ maxTokens: 21 }, RangeError, "must fit in the cache");
  refused({ stop: [-1] }, RangeError, "tokens[0]");
  refused({ priority: 0.5 }, RangeError, "priority");
  refused({ priority: "high" }, TypeError, "priority");
  refused({ samples: 0 }, RangeError, "samples");
  refused({ samples: 5 }, RangeError, "width must be an integer in 1..4");
  refused({ beams: 1.5 }, RangeError, "beams");
  refused({ beams: 2, samples: 2 }, TypeError, "samples must not be set");
  refused({ beams: 2, stop: [1] }, TypeError, "stop must be empty for beams");
  refused({ domain: { salt: {} } }, TypeError, "salt");
  assertEquals([scheduler.size, scheduler.waiting], [1, ["a"]]);
  scheduler.verify();
  scheduler.add({ id: "b", prompt: [1], maxTokens: 20 });
});

Deno.test("Scheduler.add() holds no part of what it is given", () => {
  const { scheduler, cache } = setup({ cached: true });
  const prompt = [1, 2];
  const salt = Uint8Array.of(1);
  scheduler.add({ id: "a", prompt, maxTokens: 2, domain: { salt } });
  prompt.push(3);
  salt[0] = 2;
  assertEquals(scheduler.schedule().work[0].tokens, [1, 2]);
  scheduler.commit({ results: [{ request: "a", tokens: [3] }] });
  const cached = (domain: PrefixDomain) =>
    cache.index!.match([1, 2, 3], domain).length;
  assertEquals([{ salt: Uint8Array.of(1) }, { salt }].map(cached), [2, 0]);
});

Deno.test("Scheduler.add() takes what just fits, beside the watermark", () => {
  const fits = (options: object, maxTokens: number) => {
    const pool = new BlockPool({ numBlocks: 11, blockSize: 2 });
    const cache = new CacheManager({ pool, watermark: 0.2, ...options });
    const scheduler = new Scheduler({ cache, longPrefill: 3 });
    // The last token takes no slot.
    scheduler.add({ id: "a", prompt: [1], maxTokens });
    assertThrows(
      () => scheduler.add({ id: "b", prompt: [1, 1], maxTokens }),
      RangeError,
      "must fit in the cache",
    );
  };
  fits({}, 16);
  fits({ maxLength: 7 }, 7);
  fits({ groups: [{}, { left: 4 }] }, 8);
  const pool = new BlockPool({ numBlocks: 6, blockSize: 2 });
  const cache = new CacheManager({ pool, groups: [{ left: 4 }], watermark: 0 });
  const scheduler = new Scheduler({ cache, longPrefill: 3 });
  scheduler.add({ id: "endless", prompt: [1], maxTokens: 1e9 });
});

Deno.test("Scheduler.abort() refuses who is not live, twice as well", () => {
  const { scheduler, add, step } = setup();
  const refused = (id: string) =>
    assertThrows(
      () => scheduler.abort(id),
      TypeError,
      `id must be of a live request: current value is "${id}"`,
    );
  refused("a");
  add("a", 1);
  scheduler.abort("a");
  refused("a");
  add("b", 1, { maxTokens: 1 });
  step();
  refused("b");
});

Deno.test("Scheduler.schedule() and commit() take turns", () => {
  const { scheduler, add } = setup();
  const error = new Error("gone");
  const early = () => scheduler.commit({ results: [] });
  assertThrows(early, TypeError, "commit() must follow schedule()");
  add("a", 1);
  scheduler.schedule();
  assertThrows(() => scheduler.schedule(), TypeError, "must wait for commit()");
  assertThrows(
    () => scheduler.loseDevice("gone" as unknown as Error),
    TypeError,
    "error must be an Error",
  );
  scheduler.loseDevice(error);
  assertThrows(early, TypeError, "commit() must follow schedule()");
});

Deno.test("Scheduler.commit() refuses bad outcomes and changes nothing", () => {
  const { scheduler, add } = setup({ tokenBudget: 7 });
  add("a", 1);
  add("n", 1, { samples: 2 });
  add("cut", 8);
  scheduler.schedule();
  const a = { request: "a", tokens: [1] };
  const n = { request: "n", tokens: [1, 2] };
  const refused = (results: unknown, error: Kind, text: string, more = {}) => {
    const outcome = { results, ...more } as StepOutcome;
    assertThrows(() => scheduler.commit(outcome), error, text);
  };
  refused(undefined, TypeError, "results must be an array");
  refused([a], TypeError, "must have one for each work with samples");
  refused([a, n, a], TypeError, "results[2] must not come twice");
  refused([a, n, { ...a, request: "x" }], TypeError, "results[2] must be of");
  refused([a, n, { ...a, request: "cut" }], TypeError, "results[2] must be of");
  refused([{ ...a, branch: 1 }, n], TypeError, "results[0] must be of a work");
  refused([a, { ...n, tokens: [1] }], RangeError, "must be the samples");
  refused([{ ...a, tokens: [-1] }, n], RangeError, "tokens[0]");
  refused([{ ...a, tokens: [0.5] }, n], RangeError, "tokens[0]");
  refused([{ ...a, tokens: 1 }, n], TypeError, "tokens must be an array");
  refused([{ ...a, parent: 0 }, n], TypeError, "results[0].parent");
  refused([{ ...a, done: 1 }, n], TypeError, "results[0].done");
  const error = new Error("wrong");
  refused([a, n], TypeError, "failed must be an array", { failed: 1 });
  refused([a, n], TypeError, "failed[0].request must be in the step", {
    failed: [{ request: "x", error }],
  });
  refused([a, n], TypeError, "failed[0].error must be an Error", {
    failed: [{ request: "a", error: "wrong" }],
  });
  scheduler.verify();
  assertEquals(scheduler.commit({ results: [n, a] }), []);
});

Deno.test("Scheduler.commit() refuses a parent that is no beam", () => {
  const { scheduler, add } = setup();
  add("a", 1, { beams: 2 });
  scheduler.schedule();
  scheduler.commit({ results: [{ request: "a", tokens: [1, 2] }] });
  scheduler.schedule();
  for (const parent of [2, -1, 0.5]) {
    const results = [0, 1].map((branch) => ({
      request: "a",
      branch,
      tokens: [3],
      parent,
    }));
    const commit = () => scheduler.commit({ results });
    assertThrows(commit, RangeError, "results[0].parent");
  }
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import { report } from "../../bench/soak/main.ts";
import { soak } from "../../bench/soak/soak.ts";
import { Crowd } from "../../bench/soak/crowd.ts";
import { anyPrompt, MAX_PROMPT } from "../../bench/soak/prompts.ts";
import { Prng } from "../../src/core/prng.ts";

const OPTIONS = { operations: 20_000, blocks: 2_000, seed: 1 };

Deno.test("soak() leaks nothing in 20,000 operations over 2,000 blocks", () => {
  const { leaks, done, counts, tenths } = soak(OPTIONS);
  for (const [name, count] of Object.entries(leaks)) {
    assertEquals(count, 0, name);
  }
  const total = Object.values(done).reduce((sum, count) => sum + count, 0);
  assertEquals([total, tenths.length], [OPTIONS.operations, 10]);
  // Else it would prove nothing.
  for (const [name, count] of Object.entries({ ...done, ...counts })) {
    assert(count > 50, `${count} of ${name}`);
  }
  assertEquals(counts.made, counts.freed);
  assert(counts.hitTokens < counts.queriedTokens);
});

Deno.test("soak() leaks neither blocks nor states beside them", () => {
  const { leaks, done, counts } = soak({
    operations: 3000,
    blocks: 1000,
    blockSize: 4,
    states: 60,
    seed: 2,
  });
  for (const [name, count] of Object.entries(leaks)) {
    assertEquals(count, 0, name);
  }
  for (const [name, count] of Object.entries({ ...done, ...counts })) {
    assert(count > 10, `${count} of ${name}`);
  }
});

Deno.test("soak() counts the same for the same seed", () => {
  const run = (seed: number) => {
    const { done, counts } = soak({
      operations: 2000,
      blocks: 300,
      blockSize: 4,
      seed,
    });
    return { done, counts };
  };
  const first = run(3);
  assertEquals(run(3), first);
  assert(run(4).counts.hitTokens !== first.counts.hitTokens);
});

Deno.test("soak() throws on bad sizes", () => {
  const refused = (options: object, text: string) =>
    assertThrows(() => soak({ ...OPTIONS, ...options }), RangeError, text);
  refused({ operations: 15 }, "operations must be a multiple of 10");
  refused({ operations: 0 }, "operations must be an integer >= 10");
  refused({ blocks: 1.5 }, "blocks must be an integer >= 100");
  refused({ seed: NaN }, "seed must be an integer >= 0");
  refused({ states: -1 }, "states must be an integer >= 0");
});

Deno.test("Crowd picks whoever is in it, and no one else", () => {
  const random = new Prng(1);
  const crowd = new Crowd<number>();
  assertEquals([crowd.pick(random), crowd.pickSome(random, 2)], [
    undefined,
    [],
  ]);
  for (let i = 0; i < 6; i++) crowd.add(i);
  for (const i of [0, 5, 2]) crowd.remove(i);
  assertEquals([crowd.size, [...crowd].sort()], [3, [1, 3, 4]]);
  assertEquals(new Set(crowd.pickSome(random, 100)), new Set([1, 3, 4]));
  for (const i of crowd) crowd.remove(i);
  assertEquals(crowd.size, 0);
});

Deno.test("anyPrompt() makes prompts that begin alike and are not alike", () => {
  const random = new Prng(1);
  const prompts = Array.from({ length: 300 }, () => anyPrompt(random, 16));
  for (const prompt of prompts) {
    assert(prompt.length >= 1 && prompt.length <= MAX_PROMPT);
    assertEquals(prompt[0], 1);
  }
  const whole = prompts.filter(({ length }) => length % 16 === 0);
  assert(whole.length > 100);
  const different = new Set(prompts.map((prompt) => prompt.join()));
  assert(different.size > 200 && different.size < 300, `${different.size}`);
});

Deno.test("report() has a line for each tenth, and the leaks", () => {
  const result = soak({ operations: 2000, blocks: 300, seed: 2 });
  const lines = report(result).split("\n");
  const begins = (text: string) => lines.some((line) => line.startsWith(text));
  for (const text of ["tenth", "    1 ", "   10 ", "Leaks: sequences 0,"]) {
    assert(begins(text), `${text} in ${lines.join("\n")}`);
  }
  assert(begins(`Operations: append ${result.done.append}, `));
});

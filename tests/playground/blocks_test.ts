/**
 * What the playground shows of a cache is what the cache manager says.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import {
  readTold,
  told,
  writeTold,
} from "../../playground/blocks/block_address.ts";
import {
  type Command,
  DEEDS,
  readCommands,
  sequenceName,
  writeCommands,
} from "../../playground/blocks/commands.ts";
import { replay, Service, type Step } from "../../playground/blocks/service.ts";
import { snapshot } from "../../playground/blocks/snapshot.ts";
import { STORIES, storyOf } from "../../playground/blocks/stories.ts";
import { property } from "../support/property.ts";

const words = fc.array(
  fc.constantFrom("a", "b", "c", "of", "100%", "x;y", "u:v", "é+"),
  { minLength: 1, maxLength: 20 },
);
const name = fc.nat(5).map(sequenceName);
const command: fc.Arbitrary<Command> = fc.oneof(
  words.map((all) => ({ kind: "new" as const, text: all.join(" ") })),
  fc.tuple(name, fc.integer({ min: 1, max: 12 })).map(([name, count]) => ({
    kind: "append" as const,
    name,
    count,
  })),
  fc.tuple(fc.constantFrom(...DEEDS), name).map(([kind, name]) => ({
    kind,
    name,
  })),
  fc.integer({ min: 1, max: 12 }).map((block) => ({
    kind: "evict" as const,
    block,
  })),
);
const commands = fc.array(command, { maxLength: 30, size: "max" });

property("commands are read as they are written", [commands], (all) => {
  assertEquals(readCommands(writeCommands(all)), all);
  const state = writeTold({
    size: { blocks: 12, blockSize: 3 },
    commands: all,
    at: Math.floor(all.length / 2),
  });
  const { size, at, ...rest } = readTold(new URLSearchParams(`${state}`));
  assertEquals(rest.commands, all);
  assertEquals([size.blocks, size.blockSize], [12, 3]);
  assertEquals(at, Math.floor(all.length / 2));
});

property(
  "whatever is done, the page and the manager agree",
  [commands],
  (all) => {
    const service = new Service({ blocks: 12, blockSize: 3 });
    for (const one of all) {
      const before = counts(service);
      const step = service.run(one);
      const seen = snapshot(service);
      assertEquals(seen.fault, undefined);
      const { pool, manager } = service;
      assertEquals(seen.counts.used, pool.usedBlocks);
      assertEquals(seen.counts.cached, pool.evictableBlocks);
      assertEquals(seen.counts.cached + seen.counts.free, pool.freeBlocks);
      for (const block of seen.blocks) {
        assertEquals(block.references, pool.refCount(block.id));
        assertEquals(block.cached, pool.isCached(block.id));
        const free = block.references === 0;
        const state = free ? block.cached ? "cached" : "free" : undefined;
        if (state) assertEquals(block.state, state);
        assertEquals(free && !block.cached, block.words.length === 0);
      }
      const running = seen.sequences.filter(({ status }) => status !== "freed");
      assertEquals(running.length, manager.sequences.length);
      if (refused(step)) assertEquals(counts(service), before);
    }
    for (const { name, sequence } of service.entries.values()) {
      if (sequence.status !== "freed") service.run({ kind: "free", name });
      service.run({ kind: "unpin", name });
    }
    assertEquals(service.pool.usedBlocks, 0);
  },
);

function counts({ pool, manager }: Service): unknown {
  return [pool.usedBlocks, manager.sequences.map(({ length }) => length)];
}

function refused({ events }: Step): boolean {
  return events.some(({ kind }) => kind === "error");
}

Deno.test("readCommands() leaves out what is none", () => {
  const text =
    "new:;fly:A;append:A;append:A:0;append:A:65;fork:;fork:a;evict:x;new:%E0;free:B1";
  assertEquals(readCommands(text), [{ kind: "free", name: "B1" }]);
});

Deno.test("a fork's first word copies its last block, the holder's does not", () => {
  const { size, commands } = storyOf("samples")!;
  const service = new Service(size);
  const copies = commands.map((one) => service.run(one).copies.length);
  assertEquals(copies, [0, 0, 0, 0, 1, 1, 0]);
  const { blocks, sharing } = snapshot(service);
  assertEquals(sharing.sharedBlocks, 3);
  assertEquals(blocks[0].owners, [0, 1, 2]);
  assertEquals(blocks[0].state, "shared");
});

Deno.test("a sequence that cannot be resumed stays preempted", () => {
  const service = new Service({ blocks: 4, blockSize: 4 });
  const run = (text: string) => readCommands(text).map((c) => service.run(c));
  const steps = run("new:a+b+c+d+e+f+g+h+i;preempt:A;new:j+k+l;append:B:6");
  assertEquals(steps.some(refused), false);
  assert(refused(run("resume:A")[0]));
  const { counts, sequences } = snapshot(service);
  assertEquals(sequences[0].status, "preempted");
  assertEquals(counts.used, 3);
});

Deno.test("every story shows what its text says", () => {
  const logOf = (id: string) => {
    const { size, commands } = storyOf(id)!;
    const { steps } = replay(size, commands);
    return steps.flatMap(({ events }) =>
      events.map(({ kind, text }) => `${kind}: ${text}`)
    ).join("\n");
  };
  assertStringIncludes(logOf("samples"), "copy: copy on write");
  assertStringIncludes(logOf("prefix"), "hit: 16 of 18 tokens");
  assertStringIncludes(logOf("again"), "hit: 16 of 17 tokens");
  assertStringIncludes(logOf("evicted"), "found no more");
  assertStringIncludes(logOf("evicted"), "hit: 8 of 17 tokens");
  assertStringIncludes(logOf("pinned"), "hit: 16 of 17 tokens");
  const full = logOf("full");
  assertStringIncludes(full, "error: Cannot allocate blocks");
  assertStringIncludes(full, "hit: 12 of 20 tokens");
});

Deno.test("addresses of stories are short, and wrong ones are the first", () => {
  for (const story of STORIES) {
    const state = writeTold(told(story));
    assertEquals(`${state}`, `story=${story.id}`);
    assertEquals(readTold(state), told(story));
  }
  const wrong = new URLSearchParams("story=none&blocks=1&size=0&at=99");
  assertEquals(readTold(wrong), told(STORIES[0]));
});

Deno.test("Service.verify() sees a word in a wrong place", () => {
  const { size, commands } = storyOf("samples")!;
  const service = replay(size, commands);
  service.verify();
  // deno-lint-ignore no-explicit-any -- breaking what is private
  const broken = service as any;
  broken.wordAt = () => "elsewhere";
  assert(snapshot(service).fault?.includes("elsewhere"));
});

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { BuddyAllocator, type Chunk } from "../../../repro/paging/buddy.ts";
import { serve } from "../../../repro/paging/serving.ts";
import {
  PagedMemory,
  ReservedMemory,
  reservedSlots,
} from "../../../repro/paging/serving_memory.ts";
import { lengthTrace } from "../../../repro/trace.ts";
import { countUtilisation } from "../../../repro/paging/utilisation.ts";
import { property } from "../../support/property.ts";

/** Says whether an aligned run of `size` free slots exists. */
function hasRoom(taken: readonly boolean[], size: number): boolean {
  for (let start = 0; start + size <= taken.length; start += size) {
    if (!taken.slice(start, start + size).includes(true)) return true;
  }
  return false;
}

property(
  "BuddyAllocator hands out aligned chunks whenever there is one",
  [fc.array(
    fc.oneof(
      fc.record({ slots: fc.integer({ min: 1, max: 32 }) }),
      fc.record({ release: fc.nat() }),
    ),
    { maxLength: 60 },
  )],
  (commands) => {
    const buddy = new BuddyAllocator(32);
    const taken: boolean[] = new Array(32).fill(false);
    const chunks: Chunk[] = [];
    for (const command of commands) {
      if ("slots" in command) {
        const size = 2 ** Math.ceil(Math.log2(command.slots));
        const chunk = buddy.allocate(command.slots);
        assertEquals(chunk !== undefined, hasRoom(taken, size));
        if (!chunk) continue;
        assertEquals([chunk.size, chunk.start % size], [size, 0]);
        for (let i = 0; i < size; i++) {
          assert(!taken[chunk.start + i]);
          taken[chunk.start + i] = true;
        }
        chunks.push(chunk);
      } else if (chunks.length > 0) {
        const [chunk] = chunks.splice(command.release % chunks.length, 1);
        buddy.release(chunk);
        taken.fill(false, chunk.start, chunk.start + chunk.size);
      }
      assertEquals(buddy.freeSlots, taken.filter((t) => !t).length);
    }
  },
);

Deno.test("lengthTrace() repeats, keeps its bounds and about its means", () => {
  const options = {
    seed: 5,
    requests: 4000,
    promptMean: 161,
    outputMean: 338,
    maxLength: 2048,
  };
  const trace = lengthTrace(options);
  assertEquals(trace, lengthTrace(options));
  for (const { prompt, output } of trace) {
    assert(prompt >= 1 && output >= 1 && prompt + output <= 2048);
  }
  const mean = (of: "prompt" | "output") =>
    trace.reduce((sum, request) => sum + request[of], 0) / trace.length;
  assertAlmostEquals(mean("prompt"), 160, 8);
  assertAlmostEquals(mean("output"), 325, 15);
});

Deno.test("reservedSlots() is what each policy asks for", () => {
  const request = { prompt: 10, output: 25 };
  assertEquals(reservedSlots("max", request, 2048), 2048);
  assertEquals(reservedSlots("pow2", request, 2048), 42);
  assertEquals(reservedSlots("oracle", request, 2048), 35);
  assertEquals(reservedSlots("pow2", request, 40), 40);
});

Deno.test("serve() averages what slots are used for", () => {
  const trace = new Array(5).fill({ prompt: 4, output: 4 });
  const memory = new ReservedMemory({
    capacity: 16,
    reservation: "oracle",
    maxLength: 64,
  });
  // Two at a time; those in the middle have 5, 6, 7 and 8 tokens each.
  assertEquals(serve(trace, memory), {
    use: {
      written: 13 / 16,
      reserved: 3 / 16,
      internal: 0,
      external: 0,
      ofTaken: 13 / 16,
    },
    running: 2,
    tokens: 13,
    steps: 4,
    preemptions: 0,
  });
});

Deno.test("serve() preempts the last to arrive where blocks run out", () => {
  const trace = new Array(9).fill({ prompt: 4, output: 4 });
  const memory = new PagedMemory({
    capacity: 16,
    blockSize: 4,
    watermark: 0,
  });
  const { use, preemptions } = serve(trace, memory);
  assert(preemptions > 0);
  const { written, reserved, internal, external } = use;
  assertAlmostEquals(written + reserved + internal + external, 1);
});

for (const seed of [1, 2]) {
  Deno.test(`utilisation is max < pow2 < oracle < paged, seed ${seed}`, () => {
    const { policies, blockSizes } = countUtilisation({
      requests: 400,
      blockSizes: [8, 64, 256],
      seed,
    });
    const { max, pow2, oracle, paged } = policies;
    assert(max.use.written < pow2.use.written);
    assert(pow2.use.written < oracle.use.written);
    assert(oracle.use.written < paged.use.written);
    assert(paged.use.written >= 0.963);
    assert(paged.use.ofTaken >= 1 - 8 / (paged.tokens / paged.running));
    assertEquals([oracle.use.internal, max.preemptions], [0, 0]);
    for (const { use } of Object.values(policies)) {
      const { written, reserved, internal, external } = use;
      assertAlmostEquals(written + reserved + internal + external, 1);
      assert(Math.min(written, reserved, internal, external) >= 0);
    }
    for (const { served, expected } of blockSizes) {
      assertAlmostEquals(served.use.ofTaken, expected, 0.02);
    }
  });
}

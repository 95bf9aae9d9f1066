import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  ExtentMemory,
  runExtents,
} from "../../../repro/paging/extent_service.ts";
import { runMapper } from "../../../repro/paging/mapper_service.ts";
import { vattention } from "../../../repro/paging/vattention.ts";

const KIB = 1024;
const GIB = KIB ** 3;

Deno.test("every map call of a synchronous step is waited for", () => {
  const run = runMapper({ pageBytes: 64 * KIB, mapping: "sync", requests: 99 });
  assertEquals(run.mapCalls, run.promptCalls + run.decodeCalls);
  assertEquals(run.unmapCalls, 0);
  assert(run.promptCalls > 0 && run.decodeCalls > 0);
  assert(run.mapCalls < run.eagerCalls);
});

Deno.test("mapping ahead hides decode's calls while pages are free", () => {
  const pageBytes = 64 * KIB;
  const free = runMapper({ pageBytes, requests: 300 });
  assertEquals(free.decodeCalls, 0);
  assert(free.mapCalls > free.promptCalls);
  const scarce = runMapper({
    pageBytes,
    requests: 300,
    memoryBytes: 1.5 * GIB,
  });
  assert(scarce.decodeCalls > 0);
  assert(scarce.waste < free.waste);
});

Deno.test("waste is half a page a request, and rises with the page", () => {
  const wastes = [64, 128, 256].map((kib) => {
    const run = runMapper({
      pageBytes: kib * KIB,
      mapping: "sync",
      requests: 200,
    });
    assertEquals(run.tokensPerPage, kib);
    assert(run.waste >= run.neededWaste);
    return run.neededWaste;
  });
  // Of `w` wasted in pages of `p` tokens, `w / (1 - w)` is about p / 2 over
  // the mean length: the same length for every p.
  const lengths = wastes.map((w, i) => 32 * 2 ** i * (1 - w) / w);
  assertAlmostEquals(lengths[1], lengths[0], 0.1 * lengths[0]);
  assertAlmostEquals(lengths[2], lengths[0], 0.1 * lengths[0]);
});

Deno.test("an extent's moves are counted, token by token", () => {
  const grow = (policy: "page" | "powerOfTwo" | "max") => {
    const memory = new ExtentMemory({ capacity: 8192, blockSize: 16, policy });
    const request = { prompt: 16, output: 48 };
    const first = memory.admit(request, 16)!;
    memory.admit(request, 16);
    // The second is in its way, then nothing is.
    for (let i = 0; i < 48; i++) assert(first.grow(1));
    first.release();
    return [memory.moved, memory.written];
  };
  const written = 16 + 16 + 48;
  assertEquals(grow("page"), [16, written]);
  assertEquals(grow("powerOfTwo"), [16, written]);
  assertEquals(grow("max"), [0, written]);
});

Deno.test("extents are moved together where that makes room", () => {
  const memory = new ExtentMemory({
    capacity: 8 * 16,
    blockSize: 16,
    policy: "page",
  });
  const request = { prompt: 16, output: 16 };
  const held = [2, 1, 2, 1, 2].map((n) => memory.admit(request, 16 * n)!);
  for (const i of [1, 3]) held[i].release();
  assertEquals(memory.admit(request, 3 * 16), undefined);
  assertEquals(memory.compactions, 0);
  assert(memory.admit(request, 2 * 16));
  // The third and the fifth moved, of two blocks each.
  assertEquals([memory.compactions, memory.moved], [1, 64]);
  assertEquals(memory.freeSlots, 0);
  assertEquals(held[0].grow(1), false);
});

Deno.test("extents hold less than blocks, or move, or both", () => {
  const [page, powerOfTwo, max, blocks] =
    (["page", "powerOfTwo", "max", "blocks"] as const).map((placing) =>
      runExtents(placing, { requests: 150 })
    );
  const written = [max, powerOfTwo, page, blocks]
    .map(({ served }) => served.use.written);
  assertEquals(written, written.toSorted((a, b) => a - b));
  assert(page.movedPerToken > powerOfTwo.movedPerToken);
  assertEquals([max.movedPerToken, blocks.movedPerToken], [0, 0]);
});

Deno.test("vattention shows what it claims", () => {
  const { checks } = vattention.count();
  assert(checks.length > 0);
  for (const { claim, holds } of checks) assert(holds, claim);
});

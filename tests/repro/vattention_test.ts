import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { runMapper } from "../../bench/repro/mapper_service.ts";
import { vattention } from "../../bench/repro/vattention.ts";

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

Deno.test("vattention shows what it claims", () => {
  const { checks } = vattention.count();
  assert(checks.length > 0);
  for (const { claim, holds } of checks) assert(holds, claim);
});

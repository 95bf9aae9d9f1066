import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  measureFmaPeak,
  measureReadBandwidth,
} from "../../../src/gpu/calibrate.ts";
import { PROBES, runProbes } from "../../../src/gpu/probes/probes.ts";
import { gpuTest } from "../../support/gpu.ts";

/** A known fault of today's implementations, so it is reported, not held. */
const KNOWN_WRONG = new Set(["loop_var_reinit"]);

gpuTest(
  "runProbes() finds what this library relies on right",
  async (_t, gpu) => {
    const results = await runProbes(gpu);
    assertEquals(results.map((r) => r.name), PROBES.map((p) => p.name));
    for (const { name, ok, detail } of results) {
      // A software adapter may end long loops, which plans take into account.
      const known = KNOWN_WRONG.has(name) ||
        name === "long_loops" && gpu.software;
      if (known) assertEquals(typeof ok, "boolean");
      else if (ok === undefined) assert(detail.includes("lacks"), detail);
      else assert(ok, `${name}: ${detail}`);
    }
  },
);

Deno.test("PROBES each reject the poison that outputs start with", () => {
  for (const { name, outputs, check } of PROBES) {
    const poison = new Uint32Array(outputs).fill(0xdeadbeef);
    assert(check(poison) !== undefined, name);
  }
});

gpuTest("runProbes() says why a probe cannot run", async (_t, gpu) => {
  const [{ ok, detail }] = await runProbes(gpu, [{
    ...PROBES[0],
    features: ["none-such" as "subgroups"],
  }]);
  assertEquals(ok, undefined);
  assertEquals(detail, "the device lacks none-such");
});

gpuTest(
  "measureFmaPeak() and measureReadBandwidth() take the best",
  async (_t, gpu) => {
    for (
      const peak of [
        await measureFmaPeak(gpu),
        await measureReadBandwidth(gpu, 2 ** 24),
      ]
    ) {
      assertGreater(peak.value, 0);
      assertEquals(peak.value, Math.max(...Object.values(peak.variants)));
      assertEquals(peak.variants[peak.variant], peak.value);
    }
  },
);

import { assert, assertEquals } from "@std/assert";
import type { Experiment } from "../../../repro/experiment.ts";
import { linear } from "../../../repro/linear/growth.ts";
import { countGrowth } from "../../../repro/linear/growth_counts.ts";
import { countJrt, jrt } from "../../../repro/linear/jrt.ts";
import { recall } from "../../../repro/recall/recall.ts";

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  linear,
  jrt,
  recall,
};

for (const [name, experiment] of Object.entries(EXPERIMENTS)) {
  Deno.test(`${name} shows what it claims`, () => {
    const { checks } = experiment.count();
    assert(checks.length > 0);
    for (const { claim, holds } of checks) assert(holds, claim);
  });
}

Deno.test("countGrowth() fits exponents to what it counts", () => {
  const { rows, forward } = countGrowth([4096, 16384]);
  const [short, long] = rows.map((row) => row.forward.linear.flops);
  assertEquals(long, 4 * short);
  assert(Math.abs(forward.linear.flops - 1) < 1e-9);
});

Deno.test("countJrt() counts an encoder as a state without outputs", () => {
  const [{ once, encoder }] = countJrt([64]).rows;
  // 153 features of 65 columns, twice over the 64 tokens in all of forward.
  const state = 2 * 64 * 153 * 65;
  assertEquals(encoder.flops, state + 64 * 16 * 21 / 2);
  assert(once.flops > 2 * state);
});

import { assert, assertEquals } from "@std/assert";
import { density } from "../../../repro/masks/density.ts";
import { fittedLine } from "../../../repro/fit.ts";
import type { Experiment } from "../../../repro/experiment.ts";
import { flash1 } from "../../../repro/schedules/flash1.ts";
import { io } from "../../../repro/schedules/io_complexity.ts";
import { memory } from "../../../repro/schedules/memory.ts";
import { parallelism } from "../../../repro/schedules/parallelism.ts";

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  flash1,
  parallelism,
  io,
  density,
  memory,
};

for (const [name, experiment] of Object.entries(EXPERIMENTS)) {
  Deno.test(`${name} shows what it claims`, () => {
    const { checks } = experiment.count();
    assert(checks.length > 0);
    for (const { claim, holds } of checks) assert(holds, claim);
  });
}

Deno.test("fittedLine() is the line, and says how much it explains", () => {
  assertEquals(fittedLine([[1, 5], [2, 7], [4, 11]]), {
    atZero: 3,
    slope: 2,
    r2: 1,
  });
  const { slope, r2 } = fittedLine([[0, 0], [1, 2], [2, 0], [3, 2]]);
  assertEquals(slope, 0.4);
  assert(Math.abs(r2 - 0.2) < 1e-12, String(r2));
});

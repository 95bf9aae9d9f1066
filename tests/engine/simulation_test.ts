import { runsOf, SEED } from "../support/property.ts";
import { Simulation } from "./simulation.ts";

for (const kind of ["attention", "hybrid", "recurrent"] as const) {
  Deno.test(`Scheduler completes every request as if it were alone, with ${kind} groups`, () => {
    const runs = runsOf(kind === "attention" ? 50 : 12);
    for (let run = 0; run < runs; run++) {
      const seed = (SEED + run) >>> 0;
      try {
        new Simulation(seed, kind).run();
      } catch (error) {
        throw new Error(
          `${error instanceof Error ? error.message : error}
FC_SEED=${seed} FC_RUNS=1 deno test -A tests/engine/simulation_test.ts --filter ${kind}`,
          { cause: error },
        );
      }
    }
  });
}

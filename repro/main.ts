// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task repro`: what the papers promise of paged caches and even
 * schedules, counted again with this library's own parts.
 *
 * @module
 */

import { openGpu } from "../src/gpu/mod.ts";
import { provenance, resultName } from "../bench/support/results.ts";
import type { Experiment, Report } from "./experiment.ts";
import { flex } from "./flex.ts";
import { lean } from "./lean.ts";
import { formatTable, writeReport } from "./output.ts";
import { sharing } from "./sharing.ts";
import { utilisation } from "./utilisation.ts";
import { vattention } from "./vattention.ts";

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  utilisation,
  sharing,
  flex,
  lean,
  vattention,
};

async function show(report: Report): Promise<boolean> {
  const { title, paper, setting, tables, checks } = report;
  console.log(`\n== ${title}\nPaper: ${paper}`);
  for (const line of setting) console.log(`Here: ${line}`);
  for (const table of tables) console.log("\n" + await formatTable(table));
  for (const { claim, holds } of checks) {
    console.log(`${holds ? "holds" : "FAILS"}: ${claim}`);
  }
  return checks.every(({ holds }) => holds);
}

async function count(names: readonly string[]): Promise<boolean> {
  let good = true;
  for (const name of names) {
    const report = EXPERIMENTS[name].count();
    good = await show(report) && good;
    console.log(`Written: ${await writeReport(name, report)}`);
  }
  return good;
}

async function time(names: readonly string[]): Promise<void> {
  const gpu = await openGpu({ label: "repro" });
  try {
    const machine = resultName(gpu).replace(/\.json$/, "");
    const timings = names.flatMap((name) => EXPERIMENTS[name].timing ?? []);
    for (const { name, time } of new Set(timings)) {
      const report = await time(gpu);
      await show(report);
      const file = `${name}-${machine}`;
      const where = await provenance(gpu);
      console.log(`Written: ${await writeReport(file, report, where)}`);
    }
  } finally {
    gpu.destroy();
  }
}

async function main(): Promise<void> {
  const timed = Deno.args.includes("--timed");
  const named = Deno.args.filter((arg) => arg !== "--timed" && arg !== "all");
  const unknown = named.find((name) => !(name in EXPERIMENTS));
  if (unknown !== undefined) {
    const known = Object.keys(EXPERIMENTS).join(", ");
    console.error(`Unknown argument ${unknown}; there are ${known}, --timed`);
    Deno.exit(2);
  }
  const names = named.length > 0 ? named : Object.keys(EXPERIMENTS);
  if (timed) await time(names);
  else if (!await count(names)) Deno.exit(1);
}

if (import.meta.main) await main();

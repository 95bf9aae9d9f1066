// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task repro`: what the papers promise of paged caches, even
 * schedules and traffic, counted again with this library's own parts.
 *
 * @module
 */

import { readCommand, UsageError } from "../src/cli/arguments.ts";
import { standardOutput, wrapped } from "../src/cli/terminal.ts";
import { openGpu } from "../src/gpu/mod.ts";
import { provenance, resultName } from "../bench/support/results.ts";
import { density } from "./masks/density.ts";
import type { Experiment, Report } from "./experiment.ts";
import { flash1 } from "./schedules/flash1.ts";
import { flex } from "./paging/flex.ts";
import { inference } from "./masks/inference.ts";
import { io } from "./schedules/io_complexity.ts";
import { lean } from "./schedules/lean.ts";
import { linear } from "./linear/growth.ts";
import { longlora } from "./policies/longlora.ts";
import { jrt } from "./linear/jrt.ts";
import { memory } from "./schedules/memory.ts";
import { mosaicbert } from "./packing/mosaicbert.ts";
import { formatTable, writeReport } from "./output.ts";
import { parallelism } from "./schedules/parallelism.ts";
import { recall } from "./recall/recall.ts";
import { s2 } from "./policies/s2.ts";
import { prflash } from "./policies/prflash.ts";
import { seer } from "./policies/seer.ts";
import { sharing } from "./sharing/sharing.ts";
import { squeezed } from "./policies/squeezed.ts";
import { utilisation } from "./paging/utilisation.ts";
import { vattention } from "./paging/vattention.ts";

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  utilisation,
  sharing,
  flex,
  lean,
  vattention,
  flash1,
  parallelism,
  io,
  density,
  inference,
  memory,
  mosaicbert,
  linear,
  jrt,
  recall,
  s2,
  squeezed,
  prflash,
  longlora,
  seer,
};

function show(report: Report): boolean {
  const { title, paper, setting, tables, checks } = report;
  const { columns } = standardOutput();
  const say = (text: string) => console.log(wrapped(text, columns).join("\n"));
  console.log("");
  say(`== ${title}`);
  say(`Paper: ${paper}`);
  for (const line of setting) say(`Here: ${line}`);
  for (const table of tables) console.log("\n" + formatTable(table));
  for (const { claim, holds } of checks) {
    say(`${holds ? "holds" : "FAILS"}: ${claim}`);
  }
  return checks.every(({ holds }) => holds);
}

async function count(names: readonly string[]): Promise<boolean> {
  let good = true;
  for (const name of names) {
    const report = EXPERIMENTS[name].count();
    good = show(report) && good;
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
      show(report);
      const file = `${name}-${machine}`;
      const where = await provenance(gpu);
      console.log(`Written: ${await writeReport(file, report, where)}`);
    }
  } finally {
    gpu.destroy();
  }
}

const COMMAND = {
  usage: `Usage: deno task repro [NAME]... [--timed]
  Counts again what papers promise of paged caches, schedules and traffic
  NAME     ${
    // Beside the flags' column, on terminals of 80.
    wrapped(`${Object.keys(EXPERIMENTS).join(", ")}, or all (the default)`, 66)
      .join(`\n${" ".repeat(11)}`)}
  --timed  times on this machine's adapter instead, where NAME has any`,
  flags: { timed: { type: "boolean", default: false } },
  words: Infinity,
} as const;

/**
 * The experiments that were named, each once.
 *
 * @throws {UsageError} if there is none of a name.
 */
export function experimentsOf(given: readonly string[]): string[] {
  const known = Object.keys(EXPERIMENTS);
  const unknown = given.find((name) => name !== "all" && !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`There is no experiment ${JSON.stringify(unknown)}`);
  }
  const all = given.length === 0 || given.includes("all");
  return all ? known : [...new Set(given)];
}

async function main(): Promise<void> {
  const { timed, names } = readCommand(
    COMMAND,
    ({ values, positionals }) => ({
      timed: values.timed,
      names: experimentsOf(positionals),
    }),
  );
  if (timed) await time(names);
  else if (!await count(names)) Deno.exit(1);
}

if (import.meta.main) await main();

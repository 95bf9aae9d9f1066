// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task compare:policies`: needles in a long context, found or not by each
 * policy, beside dense attention and windows of the same size.
 *
 * @module
 */

import { provenance, resultName } from "../../../bench/support/results.ts";
import { readCommand } from "../../../src/cli/arguments.ts";
import { standardOutput, wrapped } from "../../../src/cli/terminal.ts";
import { openGpu } from "../../../src/gpu/mod.ts";
import { formatTable, writeReport } from "../../output.ts";
import { compare } from "./measure.ts";
import { reportOf } from "./report.ts";
import { plantedTask, SIZES } from "./task.ts";

const COMMAND = {
  usage: `Usage: deno task compare:policies
  Plants needles in a long context and says which of them each policy finds,
  what softmax mass and bytes it keeps, and how long it takes on this adapter`,
  flags: {},
} as const;

/** Shares of the keys that policies are told to keep. */
const BUDGETS: readonly number[] = [1 / 4, 1 / 8];
const REPEATS = 3;

async function main(): Promise<void> {
  readCommand(COMMAND, () => ({}));
  const gpu = await openGpu({ label: "compare" });
  try {
    const rows = await compare(gpu, plantedTask(SIZES), {
      budgets: BUDGETS,
      repeats: REPEATS,
    });
    const report = reportOf(gpu, rows);
    const { columns } = standardOutput();
    const say = (text: string) =>
      console.log(wrapped(text, columns).join("\n"));
    say(`== ${report.title}`);
    for (const line of report.setting) say(`Here: ${line}`);
    for (const table of report.tables) console.log("\n" + formatTable(table));
    for (const { claim, holds } of report.checks) {
      say(`${holds ? "holds" : "FAILS"}: ${claim}`);
    }
    const file = `policies-${resultName(gpu).replace(/\.json$/, "")}`;
    const where = await provenance(gpu);
    console.log(`Written: ${await writeReport(file, report, where)}`);
    if (!report.checks.every(({ holds }) => holds)) Deno.exitCode = 1;
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();

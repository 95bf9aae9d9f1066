// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task soak`: a million operations on a cache of 100,000 blocks. Exits
 * with 1 if anything leaks.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { hostProvenance } from "../support/results.ts";
import { significant } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";
import { OPERATIONS } from "./operations.ts";
import {
  checkSoakOptions,
  soak,
  type SoakOptions,
  type SoakResult,
} from "./soak.ts";

const USAGE = `Usage: deno task soak [--operations N] [--blocks N] [--seed N]
  --operations  1000000 by default, a multiple of 10
  --blocks      100000 by default
  --seed        1 by default; anything but the defaults writes no file`;

const DEFAULTS = {
  operations: 1_000_000,
  blocks: 100_000,
  seed: 1,
};

const FILE = "bench/results/soak.json";

/**
 * Reads the arguments.
 *
 * @throws {TypeError} if one is none of ours.
 * @throws {RangeError} if a number is out of its range.
 */
function readArguments(args: readonly string[]): SoakOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      operations: { type: "string" },
      blocks: { type: "string" },
      seed: { type: "string" },
    },
  });
  const options = {
    operations: Number(values.operations ?? DEFAULTS.operations),
    blocks: Number(values.blocks ?? DEFAULTS.blocks),
    seed: Number(values.seed ?? DEFAULTS.seed),
  };
  checkSoakOptions(options);
  return options;
}

/** The heap after garbage was collected, where the runtime was told to let us. */
function heapBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().heapUsed;
}

/** What a person reads of a soak. */
export function report({ tenths, done, counts, leaks }: SoakResult): string {
  const number = (value: number) => String(significant(value, 3));
  const rows = tenths.map((tenth, i) => [
    `${i + 1}`,
    number(tenth.cost),
    `${tenth.sequences}`,
    number(tenth.heapBytes / 1e6),
    ...OPERATIONS.map((name) => number(tenth.costs[name])),
  ]);
  const columns = ["tenth", "us", "live", "heap MB", ...OPERATIONS];
  const list = (record: Readonly<Record<string, number>>) =>
    Object.entries(record).map(([name, n]) => `${name} ${n}`).join(", ");
  return [
    "Microseconds of an operation, of all and of each:\n",
    formatTable(
      columns.map((title) => ({ title, align: "right" })),
      rows,
    ),
    `\nLast over first tenth: ${number(costRatio(tenths))}`,
    `Operations: ${list(done)}`,
    `Counts: ${list(counts)}`,
    `Leaks: ${list(leaks)}`,
  ].join("\n");
}

function costRatio(tenths: SoakResult["tenths"]): number {
  return tenths.at(-1)!.cost / tenths[0].cost;
}

async function write(options: SoakOptions, result: SoakResult): Promise<void> {
  const content = {
    ...await hostProvenance(),
    ...options,
    lastOverFirst: costRatio(result.tenths),
    ...result,
  };
  const json = JSON.stringify(
    content,
    (_, value) =>
      typeof value === "number" && !Number.isInteger(value)
        ? significant(value)
        : value,
    2,
  );
  const url = new URL(`../../${FILE}`, import.meta.url);
  await Deno.writeTextFile(url, json + "\n");
}

async function main(): Promise<void> {
  let options: SoakOptions;
  try {
    options = readArguments(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    Deno.exit(2);
  }
  const result = soak({ ...options, heapBytes });
  console.log(report(result));
  if (Object.values(result.leaks).some((count) => count !== 0)) {
    console.error("Something leaks");
    Deno.exit(1);
  }
  const { operations, blocks, seed } = options;
  if (
    operations !== DEFAULTS.operations || blocks !== DEFAULTS.blocks ||
    seed !== DEFAULTS.seed
  ) return console.log("\nNot the defaults: nothing is written.");
  await write(options, result);
  console.log(`\nWritten: ${FILE}`);
}

if (import.meta.main) await main();

// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task soak`: a million operations on a cache of 100,000 blocks. Exits
 * with 1 if anything leaks.
 *
 * @module
 */

import {
  readCommand,
  UsageError,
  wholeNumber,
} from "../../src/cli/arguments.ts";
import { formatTable } from "../../src/cli/table.ts";
import { standardOutput } from "../../src/cli/terminal.ts";
import { hostProvenance } from "../support/results.ts";
import { significant } from "../support/statistics.ts";
import { OPERATIONS } from "./operations.ts";
import {
  checkSoakOptions,
  soak,
  type SoakOptions,
  type SoakResult,
} from "./soak.ts";

const DEFAULTS = {
  operations: 1_000_000,
  blocks: 100_000,
  seed: 1,
};

const COMMAND = {
  usage: `Usage: deno task soak [--operations N] [--blocks N] [--seed N]
  Does random operations on a cache: nothing may leak, and none grow dearer
  --operations  ${DEFAULTS.operations} by default, a multiple of 10
  --blocks      ${DEFAULTS.blocks} by default
  --seed        ${DEFAULTS.seed} by default; anything but the defaults writes no file`,
  flags: {
    operations: { type: "string", default: `${DEFAULTS.operations}` },
    blocks: { type: "string", default: `${DEFAULTS.blocks}` },
    seed: { type: "string", default: `${DEFAULTS.seed}` },
  },
} as const;

const FILE = "bench/results/soak.json";

/**
 * Reads the arguments.
 *
 * @throws {UsageError} if a number is out of its range.
 */
export function soakOptions(values: {
  readonly operations: string;
  readonly blocks: string;
  readonly seed: string;
}): SoakOptions {
  const natural = { least: 0, most: Number.MAX_SAFE_INTEGER };
  const options = {
    operations: wholeNumber("--operations", values.operations, natural),
    blocks: wholeNumber("--blocks", values.blocks, natural),
    seed: wholeNumber("--seed", values.seed, natural),
  };
  try {
    checkSoakOptions(options);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
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
      { width: standardOutput().columns },
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
  const options = readCommand(COMMAND, ({ values }) => soakOptions(values));
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

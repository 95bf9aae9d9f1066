/**
 * Makes faults, one at a time, and prints which ones the tests notice. Exits
 * with 1 if any survives, or if a listed one says nothing.
 *
 * ```text
 * deno task test:mutants                        all that are listed
 * deno task test:mutants --only TEXT            whose name, place or tests have TEXT
 * deno task test:mutants --sample N [--seed S]  N of those that are listed
 * deno task test:mutants --random N [--seed S]  N that operators make
 * ```
 *
 * @module
 */

// deno-lint-ignore-file no-console
import {
  readCommand,
  UsageError,
  wholeNumber,
} from "../../src/cli/arguments.ts";
import { Prng } from "../../src/core/prng.ts";
import { equivalentOf } from "./equivalents.ts";
import { type Fault, placeOf } from "./fault.ts";
import { FAULTS } from "./faults/mod.ts";
import { type MutantResult, runMutants } from "./mutate.ts";
import { FOLDERS } from "./place.ts";
import { drawFaults, widen } from "./random.ts";
import { SymbolIndex } from "./symbols.ts";

/** Seconds for the tests of a random fault: loops without end are common. */
const RANDOM_TIMEOUT = 90;

interface Options {
  readonly only?: string;
  readonly sample?: number;
  readonly random?: number;
  readonly seed: number;
}

const COMMAND = {
  usage:
    `Usage: deno task test:mutants [--only TEXT | --sample N | --random N] [--seed S]
  Makes faults, one at a time, and says which ones the tests notice
  --only    those listed whose name, place or tests have TEXT
  --sample  N of those listed
  --random  N faults that operators make, instead of those listed
  --seed    which ones; 1 by default`,
  flags: {
    only: { type: "string" },
    sample: { type: "string" },
    random: { type: "string" },
    seed: { type: "string", default: "1" },
  },
} as const;

function parse(): Options {
  return readCommand(COMMAND, ({ values: { only, sample, random, seed } }) => {
    const given = [only, sample, random].filter((value) => value !== undefined);
    if (given.length > 1) {
      throw new UsageError(
        "--only, --sample and --random must not be given together",
      );
    }
    const whole = (flag: string, text: string, least: number) =>
      wholeNumber(flag, text, { least, most: 2 ** 31 - 1 });
    return {
      ...(only !== undefined && { only }),
      ...(sample !== undefined && { sample: whole("--sample", sample, 1) }),
      ...(random !== undefined && { random: whole("--random", random, 1) }),
      seed: whole("--seed", seed, 0),
    };
  });
}

async function select(
  { only, sample, random, seed }: Options,
): Promise<Fault[]> {
  if (random !== undefined) {
    const root = Deno.cwd();
    const index = await SymbolIndex.read(root, FOLDERS);
    return await drawFaults({ root, index, listed: FAULTS }, random, seed);
  }
  if (sample !== undefined) {
    return new Prng(seed).shuffle(FAULTS).slice(0, sample);
  }
  return FAULTS.filter((fault) =>
    only === undefined ||
    [fault.name, placeOf(fault), ...fault.tests].some((text) =>
      text.includes(only)
    )
  );
}

function printResult({ fault, verdict, detail, seconds }: MutantResult): void {
  const time = `${seconds.toFixed(1)} s`.padStart(7);
  console.log(`${verdict.padEnd(8)} ${time}  ${placeOf(fault)}: ${fault.name}`);
  if (detail) console.log(`${" ".repeat(18)}${detail}`);
}

/** Whether a fault is one too many: not killed, and not known to be harmless. */
function isAlive({ fault, verdict }: MutantResult): boolean {
  return verdict !== "killed" && equivalentOf(fault) === undefined;
}

/** What an operator makes need not compile; what survives is looked at twice. */
async function runRandom(faults: readonly Fault[]): Promise<MutantResult[]> {
  const options = { onResult: printResult, timeout: RANDOM_TIMEOUT };
  const first = (await runMutants(faults, options))
    .filter(({ verdict }) => verdict !== "broken");
  console.log(`\n${faults.length - first.length} could not be judged`);
  const alive = first.filter(isAlive).map(({ fault }) => fault);
  if (alive.length === 0) return first;
  console.log(`\n${alive.length} more closely:`);
  const second = await runMutants(widen(alive), { onResult: printResult });
  return [...first.filter((result) => !isAlive(result)), ...second];
}

async function main(): Promise<void> {
  const options = parse();
  const faults = await select(options);
  if (faults.length === 0) {
    console.error("No fault has that text in its name, place or tests");
    Deno.exit(2);
  }
  const results = options.random === undefined
    ? await runMutants(faults, { onResult: printResult })
    : await runRandom(faults);
  const alive = results.filter(isAlive);
  if (alive.length > 0) {
    console.log(`\nNot killed:`);
    alive.forEach(printResult);
  }
  // What ends a log is a count of passed and failed, whatever ran.
  console.log(
    `\n${results.length - alive.length} passed, ${alive.length} failed`,
  );
  if (alive.length > 0) Deno.exit(1);
}

if (import.meta.main) await main();

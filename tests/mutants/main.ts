/**
 * Applies every listed fault, one at a time, and prints which ones the tests
 * notice. Exits with 1 if any survives.
 *
 * `deno run -A tests/mutants/main.ts [--only TEXT]` keeps to the mutants whose name
 * or file contains TEXT.
 *
 * @module
 */

// deno-lint-ignore-file no-console
import { ALLOCATOR_MUTANTS } from "./allocator_mutants.ts";
import { EXTENT_MUTANTS } from "./extent_mutants.ts";
import { KERNEL_MUTANTS } from "./kernel_mutants.ts";
import { MODS_MUTANTS } from "./mods_mutants.ts";
import { REFERENCE_MUTANTS } from "./reference_mutants.ts";
import { SCHEDULER_MUTANTS } from "./scheduler_mutants.ts";
import { SEQUENCE_MUTANTS } from "./sequence_mutants.ts";
import { SERVICE_MUTANTS } from "./service_mutants.ts";
import { SWAP_MUTANTS } from "./swap_mutants.ts";
import { type Mutant, type MutantResult, runMutants } from "./mutate.ts";

const MUTANTS: readonly Mutant[] = [
  ...ALLOCATOR_MUTANTS,
  ...EXTENT_MUTANTS,
  ...SERVICE_MUTANTS,
  ...SEQUENCE_MUTANTS,
  ...SWAP_MUTANTS,
  ...SCHEDULER_MUTANTS,
  ...MODS_MUTANTS,
  ...REFERENCE_MUTANTS,
  ...KERNEL_MUTANTS,
];

function select(args: readonly string[]): readonly Mutant[] {
  if (args.length === 0) return MUTANTS;
  if (args.length !== 2 || args[0] !== "--only") {
    console.error("Usage: deno run -A tests/mutants/main.ts [--only TEXT]");
    Deno.exit(2);
  }
  return MUTANTS.filter(({ name, file }) =>
    name.includes(args[1]) || file.includes(args[1])
  );
}

function printResult({ mutant, verdict, detail, seconds }: MutantResult): void {
  const time = `${seconds.toFixed(1)} s`.padStart(7);
  console.log(`${verdict.padEnd(8)} ${time}  ${mutant.file}: ${mutant.name}`);
  if (detail) console.log(`${" ".repeat(18)}${detail}`);
}

async function main(): Promise<void> {
  const mutants = select(Deno.args);
  if (mutants.length === 0) {
    console.error("No mutant has that text in its name or file");
    Deno.exit(2);
  }
  const results = await runMutants(mutants, { onResult: printResult });
  const killed = results.filter(({ verdict }) => verdict === "killed").length;
  console.log(`\n${killed} of ${mutants.length} killed`);
  if (killed < mutants.length) Deno.exit(1);
}

if (import.meta.main) await main();

/**
 * The one flag that most benches take.
 *
 * @module
 */

import { readCommand } from "../../src/cli/arguments.ts";

/**
 * Whether `--quick` was asked for; anything else ends the process.
 *
 * @param task What a person runs: `deno task <task>`.
 * @param what What that does, in one sentence.
 */
export function quickAsked(task: string, what: string): boolean {
  const usage = `Usage: deno task ${task} [--quick]
  ${what}
  --quick  smaller, with fewer repeats; writes no results`;
  const flags = { quick: { type: "boolean", default: false } } as const;
  return readCommand({ usage, flags }, ({ values }) => values.quick);
}

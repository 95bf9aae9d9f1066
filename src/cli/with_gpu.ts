// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * Runs `deno <arguments>` on a machine that has a WebGPU adapter, which it
 * sets up first where it can:
 *
 * ```sh
 * deno run -A src/cli/with_gpu.ts test -A tests/
 * ```
 *
 * Exits with the child's code, or 2 where there is no adapter. Help needs none.
 *
 * @module
 */

import { asksForHelp } from "./arguments.ts";
import { ensureGpu, gpuEnvironment } from "./setup.ts";

const USAGE = `Usage: deno run -A src/cli/with_gpu.ts DENO_ARGUMENT...
  Runs deno with these arguments where there is a WebGPU adapter; sets up
  Mesa's software one where there is none and it may, or says what to type`;

if (import.meta.main) {
  const [first] = Deno.args;
  if (first === undefined || asksForHelp([first])) {
    (first === undefined ? console.error : console.log)(USAGE);
    Deno.exit(first === undefined ? 2 : 0);
  }
  if (!asksForHelp(Deno.args) && !await ensureGpu()) Deno.exit(2);
  const child = new Deno.Command(Deno.execPath(), {
    args: Deno.args,
    env: gpuEnvironment(),
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn();
  // Ctrl-C reaches the child too; its exit code is then ours.
  Deno.addSignalListener("SIGINT", () => {});
  const { code } = await child.status;
  Deno.exit(code);
}

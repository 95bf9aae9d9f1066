/**
 * Runs `deno <arguments>` on a machine that has a WebGPU adapter, which it
 * sets up first where it can:
 *
 * ```sh
 * deno run -A src/cli/with_gpu.ts test -A tests/
 * ```
 *
 * Exits with the child's code, or 2 where there is no adapter.
 *
 * @module
 */

import { ensureGpu, gpuEnvironment } from "./setup.ts";

if (import.meta.main) {
  if (!await ensureGpu()) Deno.exit(2);
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

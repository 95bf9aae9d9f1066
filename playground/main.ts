// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task playground`: serves the page, built anew whenever it is loaded.
 *
 * @module
 */

import { readCommand, wholeNumber } from "../src/cli/arguments.ts";
import { buildPage } from "./build.ts";
import { servePage } from "./serve.ts";

const COMMAND = {
  usage: `Usage: deno task playground [PORT]
  Serves the playground; at port 8000 by default. Reload to see what you edit.`,
  flags: {},
  words: 1,
};

if (import.meta.main) {
  const port = readCommand(
    COMMAND,
    ({ positionals: [port = "8000"] }) =>
      wholeNumber("PORT", port, { least: 0, most: 65535 }),
  );
  const server = servePage({ port, files: buildPage });
  console.log(`http://localhost:${server.addr.port}/`);
}

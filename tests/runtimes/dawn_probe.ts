// deno-lint-ignore-file no-console -- its output is its result
/**
 * Prints which adapter the tests get, or exits with 1 and says why not.
 *
 * @module
 */

import { sharedGpu, SKIP_REASON } from "../support/gpu.ts";

if (SKIP_REASON !== undefined) {
  console.error(SKIP_REASON);
  Deno.exit(1);
}
const { info, features } = await sharedGpu();
const named = ["shader-f16", "subgroups"].filter((name) => features.has(name));
console.log([info.description, ...named].join(", "));
// Dawn's own threads would keep the process.
Deno.exit(0);

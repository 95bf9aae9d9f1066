// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:worker`: attention in a worker, while this thread takes
 * turns of its own.
 *
 * @module
 */

import { readCommand } from "../../src/cli/arguments.ts";
import { AttentionWorker } from "./attention_worker.ts";

async function main(): Promise<void> {
  using worker = new AttentionWorker();
  const shape = [1, 256, 4, 32];
  const rows = () => ({
    data: new Float32Array(256 * 4 * 32).map(() => Math.random() - 0.5),
    shape,
  });
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const { shape: got } = await worker.attention({
    query: rows(),
    key: rows(),
    value: rows(),
    causal: true,
  });
  clearInterval(timer);
  console.log(`[${got}], while this thread took ${turns} turns of its own`);
}

const USAGE = `Usage: deno task example:worker
  Computes attention in a Web Worker`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}

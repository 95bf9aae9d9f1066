// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:train`: one layer of attention learns to find a token.
 *
 * @module
 */

import { openGpu } from "../mod.ts";
import { readCommand } from "../src/cli/arguments.ts";
import { Prng } from "../src/core/prng.ts";
import { drawBatch, trainStep, untrained } from "./train_attention.ts";

async function main(): Promise<void> {
  using gpu = await openGpu();
  const random = new Prng(1);
  const model = untrained(random);
  for (let step = 0; step <= 400; step++) {
    const loss = await trainStep(gpu, model, drawBatch(random, 32), 1);
    if (step % 50 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
  }
}

const USAGE = `Usage: deno task example:train
  Trains one layer of attention by gradient descent; prints how its loss falls`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}

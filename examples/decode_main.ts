// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:decode`: the decode loop with 32 layers, a prompt and three
 * continuations of it.
 *
 * @module
 */

import { readCommand } from "../src/cli/arguments.ts";
import { DecodeLoop, generate } from "./decode_loop.ts";

async function main(): Promise<void> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  using loop = await DecodeLoop.create(device, {
    layers: 32,
    queryHeads: 4,
    kvHeads: 2,
    headDim: 16,
    maxTokens: 64,
    numBlocks: 64,
  });
  const prompt = Array.from({ length: 20 }, (_, i) => (7 * i) % 64);
  const texts = await generate(loop, { prompt, forks: 3, count: 12 });
  for (const tokens of texts) console.log(tokens.join(" "));
  device.destroy();
}

const USAGE = `Usage: deno task example:decode
  Runs a decode loop of one's own: own device and buffers, 32 layers, forks`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}

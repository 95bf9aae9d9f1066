// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:encode`: five texts through a small encoder, what padding
 * them would have cost, and the last layer for their starts alone.
 *
 * @module
 */

import { openGpu } from "../mod.ts";
import { readCommand } from "../src/cli/arguments.ts";
import { Prng } from "../src/core/prng.ts";
import { Packing } from "../src/ops/mod.ts";
import { attendPacked, encodePadded } from "./encoder.ts";
import { TinyEncoder } from "./tiny_encoder.ts";

const USAGE = `Usage: deno task example:encode
  Encodes a padded batch of texts without computing anything for the padding`;

async function main(): Promise<void> {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  const sizes = { vocabulary: 100, layers: 3, heads: 4, headDim: 8 };
  const encoder = new TinyEncoder(sizes, 1);
  const prng = new Prng(2);
  const lengths = [31, 7, 64, 1, 22];
  const length = Math.max(...lengths);
  const packing = new Packing({ lengths, length });
  const tokens = Uint32Array.from(
    { length: packing.tokens },
    () => prng.below(sizes.vocabulary),
  );
  using gpu = await openGpu();
  const rows = await encodePadded(gpu, encoder, {
    tokens: packing.unpack({ data: tokens, shape: [packing.tokens] }).data,
    mask: packing.unpack({
      data: new Uint8Array(packing.tokens).fill(1),
      shape: [packing.tokens],
    }).data,
    shape: [lengths.length, length],
  });
  const attend = attendPacked(gpu, encoder, packing.cuSeqlens);
  const firsts = [...packing.cuSeqlens.slice(0, -1)];
  const some = await encoder.encode(tokens, attend, firsts);
  const difference = firsts.flatMap((_, b) =>
    Array.from(
      some.subarray(b * encoder.width, (b + 1) * encoder.width),
      (value, i) => Math.abs(value - rows[b * length * encoder.width + i]),
    )
  );
  const padded = lengths.length * length;
  const squares = lengths.reduce((sum, n) => sum + n * n, 0);
  const ratio = (a: number, b: number) => (a / b).toFixed(2);
  console.log(`lengths ${lengths.join(", ")}: ${packing.tokens} tokens`);
  console.log(`padded to ${length}: ${padded} rows`);
  console.log(`linear layers: ${ratio(padded, packing.tokens)} times the work`);
  console.log(`attention: ${ratio(padded * length, squares)} times the work`);
  console.log(
    `the first tokens alone differ from all rows by ${
      Math.max(...difference).toExponential(1)
    } at most`,
  );
}

if (import.meta.main) await main();

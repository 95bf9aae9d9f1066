import { assert, assertEquals } from "@std/assert";
import { mosaicbert } from "../../../repro/packing/mosaicbert.ts";
import {
  BATCH,
  batchProblem,
  countPadding,
  textLengths,
} from "../../../repro/packing/mosaicbert_counts.ts";
import { Packing } from "../../../src/ops/mod.ts";

Deno.test("mosaicbert shows what it claims", () => {
  const { checks } = mosaicbert.count();
  assertEquals(checks.length, 4);
  for (const { claim, holds } of checks) assert(holds, claim);
});

Deno.test("textLengths() are seeded, cut off, and about as long as C4's", () => {
  const lengths = textLengths(4096, 4000);
  assertEquals(lengths, textLengths(4096, 4000));
  const mean = lengths.reduce((a, b) => a + b) / lengths.length;
  assert(mean > 400 && mean < 450, `a mean of ${mean}`);
  const cut = textLengths(128, 4000);
  assertEquals(cut, lengths.map((length) => Math.min(length, 128)));
  assertEquals(Math.min(...cut) >= 1, true);
});

Deno.test("countPadding() counts what a batch of tokens has", () => {
  const row = countPadding(256);
  const lengths = textLengths(256, BATCH);
  // Token by token, and pair by pair.
  let [tokens, pairs] = [0, 0];
  for (const length of lengths) {
    for (let i = 0; i < length; i++) {
      tokens++;
      pairs += length;
    }
  }
  assertEquals(row.tokens, tokens);
  assertEquals(row.linear, BATCH * row.longest / tokens);
  assertEquals(row.pairs, BATCH * row.longest * row.longest / pairs);
});

Deno.test("batchProblem() is the padded batch, or each text alone", () => {
  const packing = new Packing({ lengths: [3, 0, 5], length: 5 });
  const counts = (padded: boolean) =>
    batchProblem(packing, padded).sequences.map((sequence) => [
      sequence.queryCount,
      sequence.keyCount,
    ]);
  assertEquals(counts(true), [[5, 5], [5, 5], [5, 5]]);
  assertEquals(counts(false), [[3, 3], [0, 0], [5, 5]]);
});

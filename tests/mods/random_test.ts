import { assertEquals } from "@std/assert";
import { dropoutBits } from "../../src/core/dropout.ts";
import { Prng } from "../../src/core/prng.ts";
import { evaluator } from "../../src/mods/evaluate.ts";
import { intervalEvaluator } from "../../src/mods/interval/interval.ts";
import { randomBits } from "../../src/mods/random.ts";
import { UNKNOWN } from "../../src/mods/interval/interval_arithmetic.ts";
import { variables } from "./trees.ts";

const { batch, head, query, key } = variables;
const SEED = { seedLow: 0x89abcdef, seedHigh: 0x01234567 };
const TREE =
  randomBits([SEED.seedLow, SEED.seedHigh], [batch, head, query], key).node;

/** Places of any size and sign. */
function* places(): Generator<[number, number, number, number]> {
  const random = new Prng(5);
  for (let n = 0; n < 500; n++) {
    const [b, h, q, k] = Array.from(
      { length: 4 },
      () => n % 2 ? random.below(100) - 9 : random.u32() | 0,
    );
    yield [b, h, q, k];
  }
}

Deno.test("randomBits() are dropout's, bit by bit", () => {
  const [bits, evaluate] = [dropoutBits(SEED), evaluator(TREE)];
  for (const place of places()) {
    assertEquals(evaluate(0, ...place), bits(...place) | 0);
  }
});

Deno.test("randomBits() of one place are known to the interval reading", () => {
  const [bits, range] = [dropoutBits(SEED), intervalEvaluator(TREE)];
  for (const place of places()) {
    const [b, h, q, k] = place.map((at) => [at, at] as const);
    const found = range({
      score: UNKNOWN,
      batch: b,
      head: h,
      query: q,
      key: k,
    });
    const expected = bits(...place) | 0;
    assertEquals([...found], [expected, expected]);
  }
});

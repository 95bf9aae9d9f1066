import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Dropout,
  dropoutBits,
  dropoutKeep,
  dropoutWords,
} from "../../src/core/dropout.ts";
import { Prng } from "../../src/core/prng.ts";

const BITS = { seedLow: 12345, seedHigh: 678 };

type Place = [batch: number, head: number, query: number, key: number];

/** Standard deviations that `hits` of `trials` are off from a share. */
function deviations(hits: number, trials: number, share: number): number {
  return (hits - trials * share) / Math.sqrt(trials * share * (1 - share));
}

Deno.test("dropoutWords() are a seed of 64 bits, a threshold and a factor", () => {
  assertEquals(dropoutWords({ rate: 0.25, seed: 2 ** 32 + 7 }), {
    seedLow: 7,
    seedHigh: 1,
    threshold: 2 ** 30,
    factor: Math.fround(4 / 3),
  });
  const wide = dropoutWords({ rate: 0.5, seed: 2n ** 64n - 1n });
  assertEquals([wide?.seedLow, wide?.seedHigh], [2 ** 32 - 1, 2 ** 32 - 1]);
  assertEquals(dropoutWords({ rate: 0.5 })?.seedLow, 0);
  const nearly = dropoutWords({ rate: 1 - 2 ** -53, seed: 0 });
  assertEquals(nearly?.threshold, 2 ** 32 - 1);
  assertEquals(nearly?.factor, 2 ** 32);
});

Deno.test("dropoutWords() of no rate are none", () => {
  assertEquals(dropoutWords(undefined), undefined);
  assertEquals(dropoutWords({ rate: 0, seed: 3 }), undefined);
  // Less than one weight in 2^32.
  assertEquals(dropoutWords({ rate: 1e-10, seed: 3 }), undefined);
  assertEquals(dropoutKeep({ rate: 0 })(1, 2, 3, 4), 1);
});

Deno.test("dropoutWords() refuse what is no dropout", () => {
  // deno-lint-ignore no-explicit-any
  const cases: [any, typeof Error, string][] = [
    [0.1, TypeError, "dropout must be { rate, seed }; leave it out for none"],
    [null, TypeError, "dropout must be { rate, seed }"],
    [[0.1], TypeError, "dropout must be { rate, seed }"],
    [{}, TypeError, "dropout.rate must be a number"],
    [{ rate: "0.1" }, TypeError, "dropout.rate must be a number"],
    [{ rate: 1 }, RangeError, "dropout.rate must be in [0, 1)"],
    [{ rate: -0.1 }, RangeError, "dropout.rate must be in [0, 1)"],
    [{ rate: NaN }, RangeError, "dropout.rate must be finite"],
    [{ rate: 0.1, seed: -1 }, RangeError, "dropout.seed must be an integer"],
    [{ rate: 0.1, seed: 0.5 }, RangeError, "dropout.seed must be an integer"],
    [{ rate: 0.1, seed: 2 ** 53 }, RangeError, "or a bigint below 2^64"],
    [{ rate: 0.1, seed: 2n ** 64n }, RangeError, "or a bigint below 2^64"],
    [{ rate: 0.1, seed: -1n }, RangeError, "or a bigint below 2^64"],
    [{ rate: 0.1, seed: "1" }, TypeError, "dropout.seed must be an integer"],
    [{ p: 0.1 }, TypeError, "write rate: current value is 0.1"],
    [{ rate: 0.1, sed: 1 }, TypeError, "write seed"],
  ];
  for (const [dropout, kind, message] of cases) {
    assertThrows(() => dropoutWords(dropout), kind, message);
  }
});

Deno.test("dropoutKeep() is 0 or the factor, by the bits", () => {
  const dropout: Dropout = { rate: 0.3, seed: 9 };
  const { threshold, factor, ...seed } = dropoutWords(dropout)!;
  const [keep, bits] = [dropoutKeep(dropout), dropoutBits(seed)];
  const random = new Prng(4);
  for (let n = 0; n < 1000; n++) {
    const at = [0, 1, 2, 3].map(() => random.below(1000)) as Place;
    assertEquals(keep(...at), bits(...at) < threshold ? 0 : factor);
  }
});

Deno.test("dropoutBits() stay as they are", () => {
  // A saved state's dropout must be that of a later version, too.
  const bits = dropoutBits(BITS);
  const places: Place[] = [[0, 0, 0, 0], [1, 2, 3, 4], [0, 31, -5, 65535]];
  assertEquals(
    places.map((at) => bits(...at)),
    [2211629640, 711720926, 2415813202],
  );
  const zeros = dropoutBits({ seedLow: 0, seedHigh: 0 })(0, 0, 0, 0);
  assertEquals(zeros, 2294881601);
});

Deno.test("dropoutBits() depend on each bit of what they are of", () => {
  // Flipping one bit of an input flips each bit of the result half the time.
  const trials = 2000;
  const random = new Prng(77);
  let worst = 0;
  for (let input = 0; input < 6; input++) {
    for (let bit = 0; bit < 32; bit++) {
      const flips = new Uint32Array(32);
      for (let n = 0; n < trials; n++) {
        // Small numbers, as places are.
        const words = [
          random.u32(),
          random.u32(),
          random.below(64),
          random.below(64),
          random.below(4096),
          random.below(4096),
        ];
        const of = ([low, high, b, h, q, k]: number[]) =>
          dropoutBits({ seedLow: low, seedHigh: high })(b, h, q, k);
        const before = of(words);
        words[input] = (words[input] ^ (1 << bit)) >>> 0;
        const changed = before ^ of(words);
        for (let out = 0; out < 32; out++) flips[out] += changed >>> out & 1;
      }
      for (const count of flips) {
        worst = Math.max(worst, Math.abs(deviations(count, trials, 0.5)));
      }
    }
  }
  // Of 6144 normal numbers, the largest is over 5.3 once in a thousand times.
  assert(worst < 5.3, `${worst} standard deviations`);
});

Deno.test("dropoutBits() drop the rate, and neighbours as if apart", () => {
  const [heads, queries, keys] = [4, 128, 256];
  const steps: Record<string, Place> = {
    key: [0, 0, 0, 1],
    "two keys": [0, 0, 0, 2],
    "32 keys": [0, 0, 0, 32],
    query: [0, 0, 1, 0],
    diagonal: [0, 0, 1, 1],
    "other diagonal": [0, 0, 1, -1],
    head: [0, 1, 0, 0],
    batch: [1, 0, 0, 0],
  };
  for (const rate of [0.05, 0.5, 0.9]) {
    for (const seed of [0, 1, 2 ** 32]) {
      const { threshold, ...words } = dropoutWords({ rate, seed })!;
      const bits = dropoutBits(words);
      const drops = (...at: Place) => bits(...at) < threshold;
      const both: Record<string, number> = {};
      let dropped = 0;
      const ofKey = new Uint32Array(keys);
      let rows = 0;
      for (let h = 0; h < heads; h++) {
        for (let q = 0; q < queries; q++) {
          let row = 0;
          for (let k = 0; k < keys; k++) {
            if (!drops(0, h, q, k)) continue;
            row++;
            ofKey[k]++;
            for (const [name, [db, dh, dq, dk]] of Object.entries(steps)) {
              const also = drops(db, h + dh, q + dq, k + dk);
              both[name] = (both[name] ?? 0) + Number(also);
            }
          }
          dropped += row;
          rows += deviations(row, keys, rate) ** 2;
        }
      }
      const all = heads * queries * keys;
      const context = `rate ${rate}, seed ${seed}`;
      const total = deviations(dropped, all, rate);
      assert(Math.abs(total) < 4.5, `${context}: ${total}`);
      for (const [name, count] of Object.entries(both)) {
        // Two neighbours are both dropped in the square of the rate.
        const off = deviations(count, dropped, rate);
        assert(Math.abs(off) < 4.5, `${context}, ${name}: ${off}`);
      }
      // Counts by row and by key spread as binomial ones do: chi squared.
      const chi = (sum: number, count: number) =>
        (sum - count) / Math.sqrt(2 * count);
      const columns = ofKey.reduce(
        (sum, count) => sum + deviations(count, heads * queries, rate) ** 2,
        0,
      );
      const [byRow, byKey] = [chi(rows, heads * queries), chi(columns, keys)];
      assert(Math.abs(byRow) < 4.5, `${context}, rows: ${byRow}`);
      assert(Math.abs(byKey) < 4.5, `${context}, keys: ${byKey}`);
    }
  }
});

Deno.test("dropoutBits() have no two rows alike", () => {
  // 2^17 rows: with 32 bits of state two of them would be, or three.
  const bits = dropoutBits(BITS);
  const seen = new Set<string>();
  for (let h = 0; h < 32; h++) {
    for (let q = 0; q < 4096; q++) {
      seen.add(`${bits(0, h, q, 0)} ${bits(0, h, q, 1)}`);
    }
  }
  assertEquals(seen.size, 32 * 4096);
});

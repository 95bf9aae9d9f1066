import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type BlockDraw,
  blockIsDrawn,
  drawnBlocks,
  inverselyWeighted,
} from "../../../reference/policies/prflash.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  blockMask,
  causal,
  classifyMask,
  maskFunction,
  scoreFunction,
} from "../../../src/mods/mod.ts";
import type { PolicyShape } from "../../../src/ops/mod.ts";
import {
  experimentalPrFlash,
  type PrFlashOptions,
} from "../../../src/policies/mod.ts";
import { property } from "../../support/property.ts";

const POWER = { family: "power", a: 1, floor: 1 / 8 } as const;

/** A call of as many heads, all whose queries come last. */
function shapeOf(
  [queryHeads, kvHeads]: readonly [number, number],
  ...lengths: readonly (readonly [queries: number, keys: number])[]
): PolicyShape {
  return {
    dtype: "f32",
    queryHeads,
    kvHeads,
    headDim: 8,
    valueHeadDim: 8,
    scale: 1,
    sequences: lengths.map(([queryCount, keyCount]) => ({
      queryCount,
      keyCount,
      queryOffset: keyCount - queryCount,
    })),
  };
}

/** What is kept of a call, as functions of positions. */
function functionsOf(
  options: PrFlashOptions,
  shape: PolicyShape = shapeOf([1, 1], [1024, 1024]),
) {
  const { maskMods = [], scoreMods = [] } = experimentalPrFlash(options)
    .select(shape);
  return { sees: maskFunction(maskMods), score: scoreFunction(scoreMods) };
}

/** The same draw for the reference. */
function drawOf(options: PrFlashOptions, group = 1): BlockDraw {
  const { block, probability } = experimentalPrFlash(options);
  const { seed = 0, round = 0 } = options;
  return { probability, block, seed: Number(seed), round, group };
}

/** Blocks that a seed keeps of a triangle, as a 0 or 1 each. */
function drawn(options: PrFlashOptions, rows: number, head = 0): number[] {
  const { sees } = functionsOf({ ...options, block: 1 });
  const found: number[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column <= row; column++) {
      found.push(Number(sees(0, head, row, column)));
    }
  }
  return found;
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Throws unless a count is within 4 standard deviations. */
function assertCount(
  count: number,
  { mean, variance }: { readonly mean: number; readonly variance: number },
  what: string,
): void {
  const off = (count - mean) / Math.sqrt(variance);
  assert(
    Math.abs(off) <= 4,
    `${what}: ${count}, ${off} deviations off ${mean}`,
  );
}

Deno.test("experimentalPrFlash() keeps what the reference draws, pair by pair", () => {
  const cases: [PrFlashOptions, [number, number]][] = [
    [{ ...POWER, block: 4, seed: 5 }, [4, 2]],
    [{ ...POWER, block: 3, seed: 2 ** 40 + 5, round: 3 }, [3, 1]],
    [{ family: "geometric", gamma: 0.5, block: 5, mode: "paper" }, [2, 2]],
  ];
  for (const [options, heads] of cases) {
    const shape = shapeOf(heads, [40, 40], [40, 40]);
    const { sees } = functionsOf(options, shape);
    const expected = drawnBlocks(drawOf(options, heads[0] / heads[1]));
    const pairs = [0, 0];
    for (let batch = 0; batch < 2; batch++) {
      for (let head = 0; head < heads[0]; head++) {
        for (let query = -3; query < 40; query++) {
          for (let key = 0; key < 40; key++) {
            const at = [batch, head, query, key] as const;
            assertEquals(sees(...at), expected(...at), `${at}`);
            pairs[Number(sees(...at))]++;
          }
        }
      }
    }
    assert(Math.min(...pairs) > 100, `${pairs}`);
  }
});

Deno.test("experimentalPrFlash() adds -ln p to scores in mode ht alone", () => {
  const options = { ...POWER, block: 4 };
  const weighted = functionsOf({ ...options, mode: "ht" }).score;
  const expected = inverselyWeighted(drawOf(options));
  for (const [query, key] of [[0, 0], [3, 3], [4, 3], [63, 2], [200, 0]]) {
    const [found, wanted] = [weighted, expected].map((score) =>
      score(1.5, 0, 0, query, key)
    );
    assert(Math.abs(found - wanted) < 1e-6, `${found}, not ${wanted}`);
    assertEquals(functionsOf(options).score(1.5, 0, 0, query, key), 1.5);
  }
  // One block behind is kept half the time, and counts twice.
  assertEquals(
    weighted(0, 0, 0, 4, 3),
    Math.fround(Math.log(2)),
  );
});

Deno.test("experimentalPrFlash() has the probabilities of its family", () => {
  const chances = (options: PrFlashOptions) => {
    const { probability } = experimentalPrFlash(options);
    return [0, 1, 2, 3, 100, 2 ** 17].map(probability);
  };
  const geometric = { family: "geometric", gamma: 0.5 } as const;
  assertEquals(chances(geometric), [1, 1 / 2, 1 / 4, 1 / 8, 0, 0]);
  assertEquals(
    chances({ ...geometric, floor: 1 / 4 }),
    [1, 1 / 2, 1 / 4, 1 / 4, 1 / 4, 1 / 4],
  );
  assertEquals(chances({ ...geometric, gamma: 1 }), [1, 1, 1, 1, 1, 1]);
  assertEquals(
    chances({ ...geometric, gamma: 0, floor: 0.5 }),
    [1, 0.5, 0.5, 0.5, 0.5, 0.5],
  );
  const power = chances({ family: "power", a: 2 });
  assertEquals(power.slice(0, 2), [1, 1 / 4]);
  assert(Math.abs(power[3] - 1 / 16) < 2 ** -31);
  assert(Math.abs(power[4] - 1 / 101 ** 2) < 2 ** -31);
  assertEquals(chances({ family: "power", a: 1 })[5], 2 ** -16);
  assertEquals(chances({ family: "power", a: 0 }), [1, 1, 1, 1, 1, 1]);
});

Deno.test("experimentalPrFlash() with certainty is causal, and known to be", () => {
  const { maskMods = [] } = experimentalPrFlash({
    family: "geometric",
    gamma: 1,
    block: 8,
  }).select(shapeOf([1, 1], [64, 64]));
  // Tiles that lie across its own blocks.
  const geometry = { queries: 64, keys: 64, queryBlock: 12, keyBlock: 20 };
  const found = blockMask(maskMods, { ...geometry, heads: 2, batch: 2 }).levels;
  const expected = blockMask(causal(), geometry).levels;
  for (let plane = 0; plane < 4; plane++) {
    const own = found.subarray(plane * expected.length).slice(
      0,
      expected.length,
    );
    assertEquals(own, expected);
  }
});

Deno.test("experimentalPrFlash() is known whole, block by block, without a look at pairs", () => {
  const options = { ...POWER, block: 16, seed: 3 };
  const { maskMods = [] } = experimentalPrFlash(options)
    .select(shapeOf([2, 2], [128, 128]));
  const mask = blockMask(maskMods, {
    queries: 128,
    keys: 128,
    queryBlock: 16,
    heads: 2,
    batch: 2,
  });
  const draw = drawOf(options);
  mask.levels.forEach((level, n) => {
    const [column, row] = [n % 8, Math.floor(n / 8) % 8];
    const [head, batch] = [Math.floor(n / 64) % 2, Math.floor(n / 128)];
    const kept = blockIsDrawn(draw, { batch, head, row, column });
    // The diagonal's own blocks are triangles.
    assertEquals(level, !kept ? 0 : row === column ? 1 : 2, `${n}`);
  });
});

Deno.test("experimentalPrFlash() keeps as many blocks as it says, within 4 deviations", () => {
  const [rows, seeds] = [16, 300];
  for (
    const family of [
      POWER,
      { family: "geometric", gamma: 0.8, floor: 0.1 },
    ] as const
  ) {
    const { expectedBlocks, probability } = experimentalPrFlash(family);
    const { mean, variance } = expectedBlocks(rows);
    const draws = Array.from(
      { length: seeds },
      (_, seed) => drawn({ ...family, seed }, rows),
    );
    const counts = draws.map(sum);
    const { family: name } = family;
    assertCount(sum(counts), {
      mean: seeds * mean,
      variance: seeds * variance,
    }, name);
    const spread = sum(counts.map((count) => (count - mean) ** 2));
    assertCount(spread / variance, {
      mean: seeds,
      variance: 2 * seeds,
    }, `${name}: the variance`);
    for (let distance = 0; distance < rows; distance++) {
      const p = probability(distance);
      const all = seeds * (rows - distance);
      let kept = 0;
      for (let row = distance; row < rows; row++) {
        const at = row * (row + 1) / 2 + row - distance;
        for (const draw of draws) kept += draw[at];
      }
      if (distance === 0) assertEquals(kept, all);
      else {
        assertCount(kept, {
          mean: all * p,
          variance: all * p * (1 - p),
        }, `${name}, ${distance} behind`);
      }
    }
  }
});

Deno.test("experimentalPrFlash() draws anew for each seed, round, sequence, head and block", () => {
  const rows = 60;
  const family = { family: "power", a: 0.5, floor: 0.4 } as const;
  const { probability } = experimentalPrFlash(family);
  const shape = shapeOf([4, 2], [64, 64]);
  const { sees } = functionsOf({ ...family, block: 1 }, shape);
  const others = {
    seed: functionsOf({ ...family, block: 1, seed: 1 }, shape).sees,
    highSeed: functionsOf({ ...family, block: 1, seed: 2 ** 32 }, shape).sees,
    round: functionsOf({ ...family, block: 1, round: 1 }, shape).sees,
    sequence: (_b: number, h: number, q: number, k: number) => sees(1, h, q, k),
    head: (b: number, _h: number, q: number, k: number) => sees(b, 2, q, k),
    block: (b: number, h: number, q: number, k: number) =>
      sees(b, h, q + 1, k + 1),
  };
  for (const [what, other] of Object.entries(others)) {
    let [same, mean, variance] = [0, 0, 0];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < row; column++) {
        const [a, b] = [sees, other].map((mask) => mask(0, 0, row, column));
        const p = probability(row - column);
        const agree = p * p + (1 - p) * (1 - p);
        same += Number(a === b);
        mean += agree;
        variance += agree * (1 - agree);
      }
    }
    assertCount(same, { mean, variance }, `another ${what}`);
  }
  // Heads that share keys keep the same ones.
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column <= row; column++) {
      assertEquals(sees(0, 1, row, column), sees(0, 0, row, column));
    }
  }
});

Deno.test("mode ht is right in the mean: numerator and denominator, over 2000 seeds", () => {
  const [seeds, block, row] = [2000, 2, 9];
  const keys = block * (row + 1);
  const random = new Prng(11);
  const scores = Array.from({ length: keys }, () => random.normal());
  const values = Array.from({ length: keys }, () => random.normal());
  const { probability } = experimentalPrFlash(POWER);
  const sums = (mode: "ht" | "paper") => {
    const parts = { numerator: 0, denominator: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const { sees, score } = functionsOf({ ...POWER, block, seed, mode });
      for (let key = 0; key < keys; key++) {
        if (!sees(0, 0, keys - 1, key)) continue;
        const weight = Math.exp(score(scores[key], 0, 0, keys - 1, key));
        parts.numerator += weight * values[key];
        parts.denominator += weight;
      }
    }
    return parts;
  };
  const [ht, paper] = [sums("ht"), sums("paper")];
  for (const part of ["numerator", "denominator"] as const) {
    let [mean, variance] = [0, 0];
    for (let column = 0; column <= row; column++) {
      const p = probability(row - column);
      let own = 0;
      for (let key = column * block; key < (column + 1) * block; key++) {
        own += Math.exp(scores[key]) * (part === "numerator" ? values[key] : 1);
      }
      mean += own;
      variance += own * own * (1 - p) / p;
    }
    const expected = { mean: seeds * mean, variance: seeds * variance };
    assertCount(ht[part], expected, part);
    assertThrows(() => assertCount(paper[part], expected, part));
  }
});

Deno.test("experimentalPrFlash() refuses what it cannot draw, by name", () => {
  // deno-lint-ignore no-explicit-any
  const cases: [any, typeof Error, string][] = [
    [
      undefined,
      TypeError,
      "options of experimentalPrFlash() must be an object",
    ],
    [{}, TypeError, 'family must be "geometric" or "power"'],
    [{ family: "normal" }, TypeError, 'family must be "geometric" or "power"'],
    [{ family: "geometric" }, TypeError, "gamma must be a number"],
    [
      { family: "geometric", gamma: 1.1 },
      RangeError,
      "gamma must be in [0, 1]",
    ],
    [{ family: "geometric", gamma: -1 }, RangeError, "gamma must be in [0, 1]"],
    [{ family: "power" }, TypeError, "a must be a number"],
    [{ family: "power", a: -1 }, RangeError, "a must be >= 0"],
    [
      { family: "power", a: 1, gamma: 0.5 },
      TypeError,
      'gamma must not be given, as family "power" has no such number',
    ],
    [
      { family: "geometric", gamma: 0.5, a: 1 },
      TypeError,
      'a must not be given, as family "geometric" has no such number',
    ],
    [{ ...POWER, floor: 2 }, RangeError, "floor must be in [0, 1]"],
    [{ ...POWER, floor: -1 }, RangeError, "floor must be in [0, 1]"],
    [{ ...POWER, floor: NaN }, RangeError, "floor must be finite"],
    [{ ...POWER, block: 0 }, RangeError, "block must be an integer"],
    [{ ...POWER, round: -1 }, RangeError, "round must be an integer"],
    [{ ...POWER, seed: -1 }, RangeError, "seed must be an integer >= 0"],
    [{ ...POWER, seed: "1" }, TypeError, "seed must be an integer"],
    [{ ...POWER, mode: "HT" }, TypeError, 'mode must be "paper" or "ht"'],
    [{ ...POWER, rounds: 4 }, TypeError, "make a policy for each round"],
    [{ ...POWER, blockSize: 4 }, TypeError, "write block"],
    [
      { family: "geometric", gamma: 0.5, mode: "ht" },
      RangeError,
      'floor must be > 0 (2^-31 at least) in mode "ht"',
    ],
  ];
  for (const [options, kind, message] of cases) {
    assertThrows(() => experimentalPrFlash(options), kind, message);
  }
  const { probability, expectedBlocks } = experimentalPrFlash(POWER);
  assertThrows(() => probability(-1), RangeError, "distance must be");
  assertThrows(() => expectedBlocks(1.5), RangeError, "rows must be");
});

Deno.test("experimentalPrFlash() refuses rows whose own block has no key", () => {
  const select = experimentalPrFlash({ ...POWER, block: 16 });
  const shape = shapeOf([1, 1], [4, 32]);
  const moved = (queryOffset: number, queryCount = 4, keyCount = 32) =>
    select.select({
      ...shape,
      sequences: [
        ...shape.sequences,
        { queryCount, keyCount, queryOffset },
      ],
    });
  moved(28);
  moved(32, 0);
  moved(99, 4, 0);
  // The block of keys 16 to 31 has a key for queries up to 31, if none of theirs.
  moved(28, 4, 17);
  for (const [offset, keys] of [[29, 32], [28, 16], [99, 33]]) {
    assertThrows(
      () => moved(offset, 4, keys),
      RangeError,
      "queryOffset of sequence 1 must leave each query a key in its own block of 16 for select (experimentalPrFlash)",
    );
  }
});

const families: fc.Arbitrary<PrFlashOptions> = fc.oneof(
  fc.record({
    family: fc.constant("geometric" as const),
    gamma: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({
    family: fc.constant("power" as const),
    a: fc.double({ min: 0, max: 8, noNaN: true }),
  }),
).chain((family) =>
  fc.record({
    floor: fc.double({ min: 2 ** -20, max: 1, noNaN: true }),
    block: fc.integer({ min: 1, max: 9 }),
    seed: fc.maxSafeNat(),
    round: fc.nat(),
    mode: fc.constantFrom("paper" as const, "ht" as const),
  }).map((more) => ({ ...family, ...more }))
);

property(
  "any draw is the reference's, and its blocks are told whole",
  [
    families,
    fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    fc.tuple(fc.nat(5), fc.nat(40), fc.nat(40)),
  ],
  (options, [kvHeads, group], [batch, row, column]) => {
    const shape = shapeOf([kvHeads * group, kvHeads], [400, 400]);
    const { maskMods = [], scoreMods = [] } = experimentalPrFlash(options)
      .select(shape);
    const [sees, score] = [maskFunction(maskMods), scoreFunction(scoreMods)];
    const draw = drawOf(options, group);
    const [expected, weighted] = [drawnBlocks(draw), inverselyWeighted(draw)];
    const { block } = draw;
    for (let head = 0; head < kvHeads * group; head++) {
      const range = (at: number) => [at * block, (at + 1) * block - 1] as const;
      for (const query of range(row)) {
        for (const key of range(column)) {
          const at = [batch, head, query, key] as const;
          assertEquals(sees(...at), expected(...at));
          if (!expected(...at)) continue;
          const wanted = options.mode === "ht" ? weighted(0.5, ...at) : 0.5;
          // -ln p is a float32.
          assert(Math.abs(score(0.5, ...at) - wanted) < 2e-6);
        }
      }
      const told = classifyMask(maskMods, {
        batch: [batch, batch],
        head: [head, head],
        query: range(row),
        key: range(column),
      });
      const kept = blockIsDrawn(draw, { batch, head, row, column });
      const partial = row === column && block > 1;
      assertEquals(told, !kept ? "none" : partial ? "some" : "all");
    }
  },
  { runs: 60 },
);

/** Distillation of a gate: its loss, its gradient, and what it learns. */

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { seerScores } from "../../../reference/policies/seer.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  initialSeerWeights,
  SeerDistillation,
  type SeerDistillationOptions,
  type SeerExample,
} from "../../../src/policies/mod.ts";
import { property } from "../../support/property.ts";

/** A gate and one example. */
interface Case {
  readonly seed: number;
  readonly heads: readonly [query: number, kv: number];
  readonly gateDim: number | undefined;
  readonly lengths: readonly [queries: number, keys: number];
  readonly block: number;
  readonly causal: boolean;
  readonly skip: number;
  readonly rotary: SeerDistillationOptions["rotary"];
}

const HEAD_DIM = 4;

const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(1000),
  heads: fc.constantFrom([1, 1], [2, 2], [4, 2] as const) as fc.Arbitrary<
    readonly [number, number]
  >,
  gateDim: fc.constantFrom(undefined, 3, 6),
  // With fewer keys than queries the first of these stand before all keys.
  lengths: fc.tuple(
    fc.integer({ min: 1, max: 11 }),
    fc.integer({ min: -6, max: 6 }),
  ).map(([queries, more]) => [queries, Math.max(1, queries + more)] as const),
  block: fc.integer({ min: 1, max: 4 }),
  causal: fc.boolean(),
  skip: fc.constantFrom(0, 0.25, 0.5),
  rotary: fc.constantFrom(
    false as const,
    {},
    { base: 50, pairing: "interleaved" as const },
  ),
});

/** Blocks of keys that a row of blocks sees. */
function seenBy(
  { lengths: [queries, keys], block, causal }: Case,
  row: number,
): number {
  const last = keys - queries + Math.min((row + 1) * block, queries) - 1;
  return causal
    ? Math.max(0, Math.floor(last / block) + 1)
    : Math.ceil(keys / block);
}

/** Rows of a batch of two, and shares that add up to 1, some of them 0. */
function exampleOf(c: Case): SeerExample {
  const { heads: [queryHeads, kvHeads], lengths: [queries, keys], block } = c;
  const random = new Prng(c.seed);
  const rows = (tokens: number, heads: number) => ({
    data: Float32Array.from(
      { length: 2 * tokens * heads * HEAD_DIM },
      () => random.normal(),
    ),
    shape: [2, tokens, heads, HEAD_DIM],
  });
  const [query, key] = [rows(queries, queryHeads), rows(keys, kvHeads)];
  const [rowCount, columns] = [queries, keys].map((n) => Math.ceil(n / block));
  const scores = new Float32Array(2 * queryHeads * rowCount * columns);
  for (let at = 0; at < scores.length; at += columns) {
    const seen = seenBy(c, (at / columns) % rowCount);
    const own = Array.from(
      { length: seen },
      () => random.below(4) === 0 ? 0 : random.uniform(),
    );
    const sum = own.reduce((a, b) => a + b, 0);
    own.forEach((x, j) => scores[at + j] = sum === 0 ? 0 : x / sum);
  }
  return {
    query,
    key,
    blockScores: { data: scores, shape: [2, queryHeads, rowCount, columns] },
  };
}

function optionsOf(c: Case): SeerDistillationOptions {
  const [queryHeads, kvHeads] = c.heads;
  const { block, causal, skip, rotary, gateDim } = c;
  return {
    weights: initialSeerWeights({
      queryHeads,
      kvHeads,
      headDim: HEAD_DIM,
      ...(gateDim !== undefined && { gateDim }),
      seed: c.seed,
    }),
    queryHeads,
    kvHeads,
    block,
    causal,
    skip,
    ...(rotary !== undefined && { rotary }),
  };
}

/** The reference's gate of one sequence of the example. */
function problemOf(c: Case, { query, key }: SeerExample, b: number) {
  const { weights } = optionsOf(c);
  const [queries, keys] = c.lengths;
  const [queryHeads, kvHeads] = c.heads;
  const own = ({ data }: SeerExample["query"]) =>
    data.subarray(b * data.length / 2, (b + 1) * data.length / 2);
  return {
    query: own(query),
    key: own(key),
    queries,
    keys,
    queryHeads,
    kvHeads,
    headDim: HEAD_DIM,
    gateDim: weights.key.shape[2],
    weights: {
      key: weights.key.data,
      ...(weights.query && { query: weights.query.data }),
    },
    block: c.block,
    queryBlock: c.block,
    queryOffset: keys - queries,
    causal: c.causal,
    ...(c.rotary && {
      rotary: { base: 10000, pairing: "half-split" as const, ...c.rotary },
    }),
  };
}

/** The reference's shares, 0 where it sees nothing. */
function sharesOf(c: Case, example: SeerExample): number[] {
  return [0, 1].flatMap((b) =>
    Array.from(
      seerScores(problemOf(c, example, b)),
      (share) => Math.max(0, share),
    )
  );
}

property(
  "shares() are the reference gate's",
  [cases],
  (c) => {
    const example = exampleOf(c);
    const shares = new SeerDistillation(optionsOf(c)).shares(example);
    const expected = sharesOf(c, example);
    assertEquals(shares.length, expected.length);
    shares.forEach((share, at) =>
      assertAlmostEquals(share, expected[at], 1e-12)
    );
  },
  { runs: 60 },
);

/** The loss as the definition says it, element by element. */
function lossOf(c: Case, example: SeerExample): number {
  const { data, shape: [, , rows, columns] } = example.blockScores;
  const shares = sharesOf(c, example);
  const first = Math.floor(c.skip * rows);
  let [sum, elements] = [0, 0];
  shares.forEach((share, at) => {
    if (Math.floor(at / columns) % rows < first) return;
    elements++;
    if (data[at] > 0) sum += data[at] * Math.log(data[at] / share);
  });
  return sum / elements;
}

property(
  "loss() is the divergence from the gate's shares, by its definition",
  [cases],
  (c) => {
    const example = exampleOf(c);
    const { loss } = new SeerDistillation(optionsOf(c)).loss([example]);
    assertAlmostEquals(loss, lossOf(c, example), 1e-9);
    assert(loss > -1e-7, `${loss}`);
  },
  { runs: 60 },
);

property(
  "loss().gradients are what differences of the loss say",
  [cases],
  (c) => {
    const options = optionsOf(c);
    const examples = [exampleOf(c), exampleOf({ ...c, seed: c.seed + 1 })];
    const { gradients } = new SeerDistillation(options).loss(examples);
    const random = new Prng(c.seed);
    for (const name of ["key", "query"] as const) {
      const own = options.weights[name];
      if (!own) continue;
      for (let trial = 0; trial < 5; trial++) {
        const n = random.below(own.data.length);
        const data = own.data as Float32Array;
        const kept = data[n];
        // Steps as float32 has them, and the error of the second order taken out.
        const slope = (step: number) => {
          const [up, down] = [kept + step, kept - step].map((x) => {
            data[n] = x;
            const { loss } = new SeerDistillation(options).loss(examples);
            return { at: data[n], loss };
          });
          data[n] = kept;
          return (up.loss - down.loss) / (up.at - down.at);
        };
        const slopes = [slope(2 ** -6), slope(2 ** -7)];
        const expected = (4 * slopes[1] - slopes[0]) / 3;
        const found = gradients[name]![n];
        assert(
          Math.abs(found - expected) <= 1e-5 * (1 + Math.abs(expected)),
          `${name}[${n}]: ${found}, not ${expected}`,
        );
      }
    }
  },
  { runs: 40 },
);

const PLAIN: Case = {
  seed: 3,
  heads: [2, 1],
  gateDim: 6,
  lengths: [24, 24],
  block: 3,
  causal: true,
  skip: 0.25,
  rotary: {},
};

Deno.test("a gate whose shares are what it is to learn has loss 0, and stays", () => {
  const c = { ...PLAIN, skip: 0 };
  const example = exampleOf(c);
  const zero = {
    key: { data: new Float32Array(1 * 12 * 6), shape: [1, 12, 6] },
    query: { data: new Float32Array(2 * 4 * 6), shape: [2, 4, 6] },
  };
  // Weights of 0 give all that is seen equal shares.
  const even = example.blockScores.data.map((_, at) => {
    const seen = seenBy(c, Math.floor(at / 8) % 8);
    return at % 8 < seen ? 1 / seen : 0;
  }) as Float32Array;
  const gate = new SeerDistillation({ ...optionsOf(c), weights: zero });
  const { loss, gradients } = gate.loss([{
    ...example,
    blockScores: { ...example.blockScores, data: even },
  }]);
  assert(Math.abs(loss) < 1e-8, `${loss}`);
  assert(gradients.key.every((x) => Math.abs(x) < 1e-8));
});

Deno.test("rows that do not count change nothing", () => {
  const example = exampleOf(PLAIN);
  const changed = Float32Array.from(example.blockScores.data, (x, at) =>
    // Of 8 rows of blocks the first 2.
    Math.floor(at / 8) % 8 < 2 ? (at % 8 === 0 ? 1 : 0) : x);
  const other = {
    ...example,
    blockScores: { ...example.blockScores, data: changed },
  };
  const gate = new SeerDistillation(optionsOf(PLAIN));
  assertEquals(gate.loss([other]), gate.loss([example]));
  const all = new SeerDistillation({ ...optionsOf(PLAIN), skip: 0 });
  assert(all.loss([other]).loss !== all.loss([example]).loss);
});

Deno.test("step() goes down the gradient, and says the loss before it", () => {
  const example = exampleOf(PLAIN);
  const gate = new SeerDistillation(optionsOf(PLAIN));
  const { weights } = gate;
  const { loss, gradients } = gate.loss([example]);
  assertEquals(gate.step([example], 0.5), loss);
  for (const name of ["key", "query"] as const) {
    const expected = Float32Array.from(
      weights[name]!.data,
      (w, n) => w - 0.5 * gradients[name]![n],
    );
    const { data, shape } = gate.weights[name]!;
    assertEquals(shape, weights[name]!.shape);
    expected.forEach((w, n) => assertAlmostEquals(data[n], w, 1e-6));
  }
  // The weights that were given stay as they are.
  assertEquals(optionsOf(PLAIN).weights, weights);
});

Deno.test("descent lowers the loss at every step", () => {
  const examples = [1, 2, 3].map((seed) => exampleOf({ ...PLAIN, seed }));
  const gate = new SeerDistillation(optionsOf(PLAIN));
  const losses = Array.from({ length: 30 }, () => gate.step(examples, 0.2));
  losses.slice(1).forEach((loss, i) => assert(loss < losses[i], `${losses}`));
});

Deno.test("initialSeerWeights() are of their sizes, and repeat", () => {
  const sizes = { queryHeads: 4, kvHeads: 2, headDim: 8 };
  const own = initialSeerWeights(sizes);
  assertEquals(own.query, undefined);
  assertEquals(own.key.shape, [4, 24, 8]);
  assertEquals(initialSeerWeights(sizes), own);
  const both = initialSeerWeights({ ...sizes, gateDim: 5, seed: 1 });
  assertEquals([both.key.shape, both.query!.shape], [[2, 24, 5], [4, 8, 5]]);
  const { data } = initialSeerWeights({ ...sizes, headDim: 64 }).key;
  const variance = (data as Float32Array)
    .reduce((sum, w) => sum + w * w, 0) / data.length;
  assert(Math.abs(variance * 192 - 1) < 0.05, `${variance}`);
  assertThrows(
    () => initialSeerWeights({ ...sizes, kvHeads: 3 }),
    RangeError,
    "queryHeads must be a multiple of kvHeads (3)",
  );
  assertThrows(
    () => initialSeerWeights({ ...sizes, gateDim: 0 }),
    RangeError,
    "gateDim",
  );
  assertThrows(
    () => initialSeerWeights({ ...sizes, hidden: 8 } as typeof sizes),
    TypeError,
    "write gateDim",
  );
});

Deno.test("SeerDistillation refuses what is no gate", () => {
  const options = optionsOf(PLAIN);
  const { key, query } = options.weights;
  const refused: readonly [object, typeof Error, string][] = [
    [
      { queryHeads: 4, kvHeads: 3 },
      RangeError,
      "must be a multiple of kvHeads",
    ],
    [{ block: 0 }, RangeError, "block must be an integer"],
    [{ skip: 1 }, RangeError, "skip must be in [0, 1)"],
    [{ skip: -0.1 }, RangeError, "skip must be in [0, 1)"],
    [{ causal: 1 }, TypeError, "causal"],
    [{ rotary: { base: 0 } }, RangeError, "rotary.base must be > 0"],
    [{ rotary: { pairing: "neox" } }, TypeError, "rotary.pairing"],
    [{ rotary: { ropeTheta: 1 } }, TypeError, "write base"],
    [{ blockSize: 3 }, TypeError, "write block"],
    [{ lr: 3 }, TypeError, "give a rate to step()"],
    [{ weights: { key } }, TypeError, "weights.key heads must be queryHeads"],
    [{ weights: { wk: key } }, TypeError, "write key"],
    [
      { weights: { key: { ...key, shape: [1, 8, 9] }, query } },
      TypeError,
      "weights.key.shape must be [heads, 3 headDim, gateDim]",
    ],
    [
      { weights: { key, query: { ...query!, shape: [1, 8, 6] } } },
      TypeError,
      "weights.query.shape must be [queryHeads, headDim, gateDim], [2, 4, 6]",
    ],
    [
      {
        weights: {
          key: { data: new Float32Array(2 * 12 * 6), shape: [2, 12, 6] },
        },
      },
      TypeError,
      "weights.key gateDim must be headDim (4)",
    ],
  ];
  for (const [more, kind, text] of refused) {
    assertThrows(
      () => new SeerDistillation({ ...options, ...more }),
      kind as typeof Error,
      text,
    );
  }
});

Deno.test("loss() and step() refuse what does not fit, and change nothing", () => {
  const gate = new SeerDistillation(optionsOf(PLAIN));
  const before = gate.weights;
  const example = exampleOf(PLAIN);
  const { query, blockScores } = example;
  const scores = (change: (data: Float32Array) => void) => {
    const data = blockScores.data.slice() as Float32Array;
    change(data);
    return { ...example, blockScores: { ...blockScores, data } };
  };
  const refused: readonly [unknown, typeof Error, string][] = [
    [{ ...example, query: example.key }, TypeError, "examples[0].query.shape"],
    [{ ...example, key: query }, TypeError, "examples[0].key.shape"],
    [
      { ...example, blockScores: query },
      TypeError,
      "examples[0].blockScores.shape must be [2, 2, 8, 8]",
    ],
    [
      {
        ...example,
        query: { ...query, data: new Uint16Array(384), dtype: "f16" },
      },
      TypeError,
      "examples[0].query must be { data: Float32Array, shape }",
    ],
    [{ ...example, q: query }, TypeError, "write query"],
    [scores((data) => data[8] = NaN), RangeError, "examples[0].blockScores[8]"],
    [scores((data) => data[8] = -1), RangeError, "examples[0].blockScores[8]"],
    // Row 1 of blocks sees two.
    [
      scores((data) => data[10] = 0.5),
      TypeError,
      "must be 0, as a causal gate",
    ],
  ];
  for (const [bad, kind, text] of refused) {
    assertThrows(
      () => gate.loss([bad as SeerExample]),
      kind as typeof Error,
      text,
    );
  }
  assertThrows(() => gate.loss([]), TypeError, "examples must be a list");
  assertThrows(() => gate.step([example], 0), RangeError, "rate must be > 0");
  assertThrows(() => gate.step([example], NaN), RangeError, "rate");
  assertEquals(gate.weights, before);
  const wild = new SeerDistillation(optionsOf(PLAIN));
  wild.step([example], 1e300);
  const after = wild.weights;
  assertThrows(
    () => wild.step([example], 1),
    RangeError,
    "rate must have been smaller",
  );
  assertEquals(wild.weights, after);
});

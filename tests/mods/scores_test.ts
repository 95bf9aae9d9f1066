import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  additiveBias,
  alibi,
  bindRows,
  bucketBias,
  relativeBias,
  sandwich,
  scoreFunction,
  type ScoreMod,
  scoreMod,
  softcap,
} from "../../src/mods/mod.ts";
import { alibiSlopes } from "../../src/mods/scores.ts";
import { Prng } from "../../src/core/prng.ts";
import { attention } from "../../reference/mod.ts";

function apply(mod: ScoreMod, ...at: [number, number, number, number, number]) {
  return scoreFunction([mod])(...at);
}

Deno.test("softcap() is cap * tanh(score / cap)", () => {
  for (const score of [-1e6, -3, 0, 0.25, 40, 1e30]) {
    const value = apply(softcap(20), score, 0, 0, 0, 0);
    assertAlmostEquals(value, 20 * Math.tanh(score / 20), 1e-12);
  }
});

Deno.test("alibi() subtracts slope times distance, to both sides", () => {
  const mod = alibi(Float32Array.of(0.5, 0.25));
  assertEquals(apply(mod, 1, 0, 0, 5, 2), -0.5);
  assertEquals(apply(mod, 1, 0, 1, 2, 6), 0);
  const perBatch = alibi(Float32Array.of(1, 2, 3, 4), [2, 2]);
  assertEquals(apply(perBatch, 0, 1, 0, 1, 0), -3);
});

Deno.test("alibiSlopes() follows the paper for any head count", () => {
  assertEquals([...alibiSlopes(1)], [2 ** -8]);
  assertEquals(
    [...alibiSlopes(8)],
    [1, 2, 3, 4, 5, 6, 7, 8].map((h) => 2 ** -h),
  );
  const twelve = [...alibiSlopes(12)];
  assertEquals(twelve.slice(0, 8), [...alibiSlopes(8)]);
  for (const [index, h] of [1, 3, 5, 7].entries()) {
    assertEquals(twelve[8 + index], Math.fround(2 ** (-h / 2)));
  }
  assertAlmostEquals(twelve[8], 0.7071, 1e-4);
  assertAlmostEquals(twelve[9], 0.3536, 1e-4);
  for (let heads = 1; heads <= 70; heads++) {
    assertEquals(new Set(alibiSlopes(heads)).size, heads);
  }
});

Deno.test("additiveBias() reads each rank and broadcasts ones", () => {
  const data = Float32Array.from({ length: 24 }, (_, i) => i);
  const bias = (shape: number[], offset: number) =>
    bindRows([additiveBias(data, shape)], [offset])[0];
  assertEquals(apply(bias([24], 9), 0.5, 9, 9, 3, 5), 5.5);
  assertEquals(apply(bias([4, 6], 2), 0.5, 9, 9, 3, 5), 11.5);
  assertEquals(apply(bias([2, 3, 4], 1), 0, 9, 1, 2, 1), 17);
  assertEquals(apply(bias([2, 1, 3, 4], 1), 0, 1, 5, 3, 3), 23);
  assertEquals(apply(bias([2, 3, 1, 4], 1), 0, 1, 2, 99, 3), 23);
  const top = additiveBias(data, [4, 6], { queryOffset: 0 });
  assertEquals(apply(top, 0, 0, 0, 3, 5), 23);
});

Deno.test("relativeBias() clamps the distance", () => {
  const mod = relativeBias(Float32Array.from({ length: 10 }, (_, i) => i), [
    2,
    5,
  ]);
  assertEquals(
    [-9, -2, -1, 0, 1, 2, 9].map((d) => apply(mod, 0, 0, 1, 10, 10 + d)),
    [5, 5, 6, 7, 8, 9, 9],
  );
});

Deno.test("score mods refuse bad parameters", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const cases: [() => unknown, typeof Error, string][] = [
    [() => softcap(0), RangeError, "cap must be"],
    [() => softcap(-1), RangeError, "cap must be"],
    [() => softcap(NaN), RangeError, "cap must be finite"],
    [() => softcap(1e39), RangeError, "finite as a float32"],
    [() => softcap(wrong("1")), TypeError, "cap must be a number"],
    [() => alibi(wrong([1])), TypeError, "slopes must be a Float32Array"],
    [() => alibi(Float32Array.of(1, 2), [3]), TypeError, "alibi slopes shape"],
    [() => alibi(Float32Array.of(NaN)), RangeError, "alibi slopes data[0]"],
    [() => alibiSlopes(0), RangeError, "heads must be"],
    [() => additiveBias(new Float32Array(3), []), TypeError, "1 or 2 or 3"],
    [
      () => additiveBias(Float32Array.of(-Infinity), [1, 1]),
      RangeError,
      "must be finite (a mask",
    ],
    [
      () => additiveBias(new Float32Array(1), [1, 1], { queryOffset: 0.5 }),
      RangeError,
      "queryOffset",
    ],
    [() => relativeBias(new Float32Array(4), [1, 4]), RangeError, "be odd"],
    [() => relativeBias(wrong([]), [1, 1]), TypeError, "table must be"],
  ];
  for (const [make, kind, message] of cases) {
    assertThrows(make, kind, message);
  }
});

Deno.test("sandwich() is the inner product of sinusoidal positions", () => {
  const [heads, length, width] = [6, 40, 10];
  const mod = sandwich({ heads, length, width });
  const position = (at: number) =>
    Array.from({ length: width / 2 }, (_, i) => {
      const angle = at / 10_000 ** (2 * i / width);
      return [Math.sin(angle), Math.cos(angle)];
    }).flat();
  for (const [head, query, key] of [[0, 3, 3], [5, 39, 0], [2, 7, 20]]) {
    const [a, b] = [position(query), position(key)];
    const product = a.reduce((sum, part, i) => sum + part * b[i], 0);
    const expected = 0.5 + product * heads / (8 * (head + 1));
    assertAlmostEquals(apply(mod, 0.5, 0, head, query, key), expected, 1e-6);
  }
  assertEquals(
    apply(mod, 0, 0, 1, 100, 0),
    apply(mod, 0, 0, 1, length - 1, 0),
    "beyond the table",
  );
});

Deno.test("bucketBias() adds what a pair's bucket has for the head", () => {
  const table = Float32Array.of(1, 2, 3, 10, 20, 30);
  const buckets = Int32Array.of(0, 1, 2, 2, 1, 0);
  const options = { table, tableShape: [2, 3], buckets, bucketShape: [2, 3] };
  const [mod] = bindRows([bucketBias(options)], [1]);
  assertEquals(apply(mod, 0.5, 0, 0, 1, 2), 3.5);
  assertEquals(apply(mod, 0.5, 0, 1, 2, 0), 30.5);
  const top = bucketBias({ ...options, queryOffset: 0 });
  assertEquals(apply(top, 0, 0, 1, 0, 1), 20);
});

Deno.test("table biases refuse bad parameters", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const table = new Float32Array(6);
  const buckets = Int32Array.of(0, 2);
  const bias = { table, tableShape: [2, 3], buckets, bucketShape: [1, 2] };
  const cases: [() => unknown, typeof Error, string][] = [
    [() => bucketBias({ ...bias, table: wrong([1]) }), TypeError, "table must"],
    [
      () => bucketBias({ ...bias, tableShape: [2, 2] }),
      TypeError,
      "bucketBias table shape",
    ],
    [() => bucketBias({ ...bias, tableShape: [6] }), TypeError, "tableShape"],
    [
      () => bucketBias({ ...bias, buckets: wrong(table) }),
      TypeError,
      "buckets must be an Int32Array",
    ],
    [
      () => bucketBias({ ...bias, buckets: Int32Array.of(0, 3) }),
      RangeError,
      "buckets[1] must be an integer in 0..2",
    ],
    [
      () => bucketBias({ ...bias, bucketShape: [3] }),
      TypeError,
      "bucketBias buckets shape",
    ],
    [() => sandwich({ heads: 0, length: 4 }), RangeError, "heads"],
    [() => sandwich({ heads: 1, length: 0 }), RangeError, "length"],
    [
      () => sandwich({ heads: 1, length: 4, width: 3 }),
      RangeError,
      "width / 2",
    ],
  ];
  for (const [make, kind, message] of cases) {
    assertThrows(make, kind, message);
  }
});

Deno.test("a score mod can put an activation in the place of softmax", () => {
  // exp(log(relu(s) + 1)) = relu(s) + 1: take the normaliser and the ones off.
  const relu = scoreMod("relu", ({ score }) => score.max(0).add(1).log());
  const [length, dim] = [7, 3];
  const random = new Prng(3);
  const rows = () =>
    Array.from({ length: length * dim }, () => random.normal());
  const problem = {
    query: rows(),
    key: rows(),
    value: rows(),
    batch: 1,
    queryLength: length,
    keyLength: length,
    queryHeads: 1,
    kvHeads: 1,
    headDim: dim,
  };
  const { output, lse } = attention({
    ...problem,
    score: scoreFunction([relu]),
  });
  const { query, key, value } = problem;
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < dim; c++) {
      let [expected, ones] = [0, 0];
      for (let j = 0; j < length; j++) {
        let product = 0;
        for (let t = 0; t < dim; t++) {
          product += query[i * dim + t] * key[j * dim + t];
        }
        const own = value[j * dim + c];
        expected += Math.max(product / Math.sqrt(dim), 0) * own;
        ones += own;
      }
      const found = output[i * dim + c] * Math.exp(lse[i]) - ones;
      assertAlmostEquals(found, expected, 1e-12);
    }
  }
});

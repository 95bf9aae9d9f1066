import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { attention, type ReferenceProblem } from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import {
  assertWithin,
  type Case,
  cases,
  float64Bound,
  MASKS,
  problemOf,
  range,
  reorder,
  rowsOf,
} from "./cases.ts";

/** One head, head dim 1, scale 1: keys are scores, values are numbers. */
function scalar(
  { key, value, ...rest }:
    & { key: number[]; value: number[] }
    & Partial<
      ReferenceProblem
    >,
): ReferenceProblem {
  return {
    query: new Array(rest.queryLength ?? 1).fill(1),
    key,
    value,
    batch: 1,
    queryLength: 1,
    keyLength: key.length,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    scale: 1,
    ...rest,
  };
}

function closeTo(actual: Float64Array, expected: number[]): void {
  const result = { output: actual, lse: [] };
  const bound = { output: 1e-14 * Math.max(1, ...expected), lse: 0 };
  assertWithin(result, { output: expected, lse: [] }, bound);
}

Deno.test("attention() weighs 1/6, 2/6, 3/6 by hand", () => {
  const key = [0, Math.log(2), Math.log(3)];
  const { output, lse } = attention(scalar({ key, value: [6, 12, 18] }));
  closeTo(output, [1 + 4 + 9]);
  closeTo(lse, [Math.log(6)]);
});

Deno.test("attention() computes two heads of two dims by hand", () => {
  // Default scale 1/sqrt(4) = 1/2; <q, k> is 2 ln 3 and 0, then 0 and 2 ln 4.
  const [a, b] = [2 * Math.log(3), 2 * Math.log(4)];
  const { output, lse } = attention({
    query: [a, 0, 0, 0, 0, b, 0, 0],
    key: [1, 0, 0, 0, 0, 1, 0, 0],
    value: [4, 8, 20, 40],
    batch: 1,
    queryLength: 1,
    keyLength: 2,
    queryHeads: 2,
    kvHeads: 1,
    headDim: 4,
    valueHeadDim: 2,
  });
  // Weights 3/4, 1/4 for head 0 and 1/5, 4/5 for head 1.
  closeTo(output, [3 + 5, 6 + 10, 4 / 5 + 16, 8 / 5 + 32]);
  closeTo(lse, [Math.log(4), Math.log(5)]);
});

Deno.test("attention() averages the values of equal scores", () => {
  for (const score of [0, 1e4, -1e4]) {
    const key = [score, score, score, score];
    const { output, lse } = attention(scalar({ key, value: [1, 2, 3, 10] }));
    assertEquals([...output], [4]);
    assertEquals([...lse], [score + Math.log(4)]);
  }
});

Deno.test("attention() returns the one value that dominates", () => {
  const problem = scalar({ key: [-1e4, 1e4, 0], value: [5, 7, 9] });
  const { output, lse } = attention(problem);
  assertEquals([...output, ...lse], [7, 1e4]);
});

Deno.test("attention() returns a single key's value and score", () => {
  const { output, lse } = attention(scalar({ key: [-3], value: [7] }));
  assertEquals([...output, ...lse], [7, -3]);
});

Deno.test("attention() gives 0 and -Infinity to a row without keys", () => {
  const masked = scalar({ key: [1, 2], value: [3, 4], mask: () => false });
  const none = scalar({ key: [], value: [] });
  const unwritten = scalar({ key: [1], value: [2], keyLengths: [0] });
  const score = () => -Infinity;
  const weightless = scalar({ key: [1, 2], value: [3, 4], score });
  for (const problem of [masked, none, unwritten, weightless]) {
    const { output, lse } = attention(problem);
    assertEquals([...output, ...lse], [0, -Infinity]);
  }
});

Deno.test("attention() returns nothing for no queries", () => {
  const { output, lse } = attention(
    scalar({ key: [1], value: [2], queryLength: 0 }),
  );
  assertEquals([output.length, lse.length], [0, 0]);
});

/** For each query, how many of `keyLength` keys a causal mask lets it see. */
function causalCounts(options: Partial<ReferenceProblem>): number[] {
  const { keyLength = 0, mask = MASKS.causal } = options;
  const key = new Array(keyLength).fill(0);
  const problem = scalar({ ...options, key, value: key, mask });
  const { lse } = attention(problem);
  return [...lse].map((l) => Math.round(Math.exp(l)));
}

Deno.test("attention() aligns positions bottom-right by default", () => {
  assertEquals(causalCounts({ queryLength: 3, keyLength: 3 }), [1, 2, 3]);
  assertEquals(causalCounts({ queryLength: 2, keyLength: 5 }), [4, 5]);
  assertEquals(causalCounts({ queryLength: 5, keyLength: 2 }), [0, 0, 0, 1, 2]);
});

Deno.test("attention() aligns to the written keys, not the stored", () => {
  assertEquals(
    causalCounts({ queryLength: 2, keyLength: 5, keyLengths: [3] }),
    [2, 3],
  );
});

Deno.test("attention() takes queryOffset over the default", () => {
  const shape = { queryLength: 2, keyLength: 5 };
  assertEquals(causalCounts({ ...shape, queryOffset: 0 }), [1, 2]);
  assertEquals(causalCounts({ ...shape, queryOffset: [2] }), [3, 4]);
  assertEquals(causalCounts({ ...shape, queryOffset: -1 }), [0, 1]);
});

Deno.test("attention() takes offsets and lengths of each batch entry", () => {
  const { lse } = attention({
    query: [1, 1, 1, 1],
    key: new Array(6).fill(0),
    value: new Array(6).fill(0),
    batch: 2,
    queryLength: 2,
    keyLength: 3,
    keyLengths: [3, 2],
    queryOffset: [0, 1],
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    mask: MASKS.causal,
  });
  assertEquals([...lse].map((l) => Math.round(Math.exp(l))), [1, 2, 2, 2]);
});

Deno.test("attention() tells score and mask the position, not the index", () => {
  const asked: number[][] = [];
  attention(scalar({
    key: [0, 0],
    value: [0, 0],
    queryOffset: 7,
    score: (score, ...where) => (asked.push(where), score),
    mask: (...where) => (asked.push(where), where[3] === 1),
  }));
  assertEquals(asked, [[0, 0, 7, 0], [0, 0, 7, 1], [0, 0, 7, 1]]);
});

Deno.test("attention() applies the scale before the score function", () => {
  const problem = scalar({ key: [10], value: [1], scale: 0.5 });
  const { lse } = attention({ ...problem, score: (score) => score + 1 });
  assertEquals([...lse], [6]);
});

property(
  "attention() gives every query head its kv head, as if repeated",
  [cases()],
  (c) => {
    const grouped = problemOf(c);
    const repeat = (array: ArrayLike<number>, width: number) =>
      reorder(
        array,
        range(array.length / width).flatMap((row) =>
          new Array(c.queriesPerKvHead).fill(row)
        ),
        width,
      );
    const repeated = {
      ...grouped,
      kvHeads: grouped.queryHeads,
      key: repeat(grouped.key, c.headDim),
      value: repeat(grouped.value, c.valueHeadDim),
    };
    assertEquals(attention(grouped), attention(repeated));
  },
);

property(
  "attention() does not depend on the order of the keys",
  [cases({ batch: fc.constant(1) })],
  (c) => {
    const problem = problemOf(c);
    const order = new Prng(c.seed).shuffle(range(c.keyLength));
    const { mask, score } = problem;
    const shuffled = {
      ...problem,
      key: reorder(problem.key, order, c.kvHeads * c.headDim),
      value: reorder(problem.value, order, c.kvHeads * c.valueHeadDim),
      mask: mask && ((b, h, i, j) => mask(b, h, i, order[j])),
      score: score && ((s, b, h, i, j) => score(s, b, h, i, order[j])),
    } satisfies ReferenceProblem;
    const bound = float64Bound(problem);
    assertWithin(attention(shuffled), attention(problem), bound);
  },
);

property(
  "attention() shifts the LSE, not the output, with a row's scores",
  [cases()],
  (c) => {
    const problem = problemOf(c);
    const { score = (s: number) => s } = problem;
    const shift = (b: number, h: number, position: number) =>
      10 * b - 3 * h + position / 2;
    const shifted: ReferenceProblem = {
      ...problem,
      score: (s, b, h, i, j) => score(s, b, h, i, j) + shift(b, h, i),
    };
    const expected = attention(problem);
    const heads = problem.queryHeads;
    const lse = expected.lse.map((l, row) => {
      const i = Math.floor(row / heads) % c.queryLength;
      const b = Math.floor(row / heads / c.queryLength);
      return l + shift(b, row % heads, i + c.keyLength - c.queryLength);
    });
    const { output } = expected;
    const bound = float64Bound(shifted);
    assertWithin(attention(shifted), { output, lse }, bound);
  },
);

property(
  "attention() of the last query is the last row of the prefill",
  [cases({
    batch: fc.constant(1),
    queryLength: fc.integer({ min: 1, max: 9 }),
  })],
  (c) => {
    const problem = problemOf(c);
    const heads = problem.queryHeads;
    const last = { first: c.queryLength - 1, end: c.queryLength };
    const decode = attention({
      ...problem,
      query: rowsOf(problem.query, { ...last, width: heads * c.headDim }),
      queryLength: 1,
    });
    const prefill = attention(problem);
    const width = heads * c.valueHeadDim;
    assertEquals(
      [...decode.output],
      rowsOf(prefill.output, { ...last, width }),
    );
    assertEquals(
      [...decode.lse],
      rowsOf(prefill.lse, { ...last, width: heads }),
    );
  },
);

property(
  "attention() keeps a key's NaN from rows that do not see it",
  [cases({ keyLength: fc.integer({ min: 1, max: 20 }) }), fc.nat()],
  (c, n) => {
    const clean = problemOf(c);
    const poisoned = n % c.keyLength;
    const { mask = () => true } = clean;
    // Row by row: rows that see the key are NaN, the others do not change.
    const nan = (array: ArrayLike<number>, width: number) =>
      Float64Array.from(
        array,
        (x, at) => Math.floor(at / width) % c.keyLength === poisoned ? NaN : x,
      );
    const actual = attention({
      ...clean,
      key: nan(clean.key, c.kvHeads * c.headDim),
      value: nan(clean.value, c.kvHeads * c.valueHeadDim),
    });
    const expected = attention(clean);
    const heads = clean.queryHeads;
    for (let row = 0; row < expected.lse.length; row++) {
      const i = Math.floor(row / heads) % c.queryLength;
      const b = Math.floor(row / heads / c.queryLength);
      const position = i + c.keyLength - c.queryLength;
      const sees = mask(b, row % heads, position, poisoned);
      assertEquals(actual.lse[row], sees ? NaN : expected.lse[row]);
      for (let c0 = 0; c0 < c.valueHeadDim; c0++) {
        const at = row * c.valueHeadDim + c0;
        assertEquals(actual.output[at], sees ? NaN : expected.output[at]);
      }
    }
  },
);

property(
  "attention() never reads past the written length",
  [cases({ keyLength: fc.integer({ min: 1, max: 20 }) }), fc.nat()],
  (c, n) => {
    const problem = problemOf(c);
    const keyLengths = range(c.batch).map((b) => (n + b) % (c.keyLength + 1));
    const poison = (array: ArrayLike<number>, width: number, by: number) =>
      Float64Array.from(array, (x, at) => {
        const token = Math.floor(at / width);
        const b = Math.floor(token / c.keyLength);
        return token % c.keyLength < keyLengths[b] ? x : by;
      });
    const clean = attention({ ...problem, keyLengths });
    for (const by of [NaN, 1e30]) {
      const poisoned = attention({
        ...problem,
        keyLengths,
        key: poison(problem.key, c.kvHeads * c.headDim, by),
        value: poison(problem.value, c.kvHeads * c.valueHeadDim, by),
      });
      assertEquals(poisoned, clean);
    }
  },
);

Deno.test("attention() says what is wrong with a problem", () => {
  const shape: Case = {
    seed: 1,
    batch: 2,
    queryLength: 3,
    keyLength: 4,
    kvHeads: 2,
    queriesPerKvHead: 2,
    headDim: 3,
    valueHeadDim: 2,
    logitScale: 1,
    mask: "none",
    score: "none",
  };
  const problem = problemOf(shape);
  const type: [Partial<ReferenceProblem>, string][] = [
    [{ query: [1] }, "query must have 72 elements [2, 3, 4, 3]"],
    [{ key: [1] }, "key must have 48 elements [2, 4, 2, 3]"],
    [{ value: [1] }, "value must have 32 elements [2, 4, 2, 2]"],
    [{ keyLengths: [1] }, "keyLengths must have 2 elements [2]"],
    [{ queryOffset: [1] }, "queryOffset must have 2 elements [2]"],
  ];
  for (const [change, message] of type) {
    assertThrows(
      () => attention({ ...problem, ...change }),
      TypeError,
      message,
    );
  }
  const outOfRange: [Partial<ReferenceProblem>, string][] = [
    [{ kvHeads: 3 }, "queryHeads must be a multiple of kvHeads (3)"],
    [{ headDim: 0 }, "headDim must be an integer >= 1"],
    [{ scale: NaN }, "scale must be finite"],
    [{ keyLengths: [4, 5] }, "keyLengths[1] must be an integer in 0..4"],
    [{ queryOffset: 0.5 }, "queryOffset must be an integer"],
  ];
  for (const [change, message] of outOfRange) {
    assertThrows(
      () => attention({ ...problem, ...change }),
      RangeError,
      message,
    );
  }
});

import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import {
  attention,
  attentionBackward,
  type BackwardProblem,
  type BackwardResult,
  type KeepFunction,
  pagedAttentionBackward,
  raggedAttention,
  raggedAttentionBackward,
  type ReferenceProblem,
  type ReferenceResult,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import {
  type Case,
  cases,
  coin,
  normals,
  problemOf,
  reorder,
} from "./cases.ts";
import { backwardOf, range } from "./cases.ts";

const TENSORS = ["query", "key", "value"] as const;

const GRADIENTS = {
  query: "queryGradient",
  key: "keyGradient",
  value: "valueGradient",
} as const;

/** Drops a third, as dropout of 1 / 3 would. */
const keep: KeepFunction = (b, h, i, j) =>
  coin(b, h, i) && coin(h, i, j) ? 0 : 1.5;

/** `sum dO O + sum dL L`, over rows that have a key. */
function lossOf(
  { output, lse }: ReferenceResult,
  { outputGradient, lseGradient }: BackwardProblem,
): number {
  let loss = 0;
  output.forEach((o, n) => loss += o * outputGradient[n]);
  lse.forEach((l, n) => {
    if (l !== -Infinity) loss += l * (lseGradient?.[n] ?? 0);
  });
  return loss;
}

/** The tensors' gradients by central differences, of fourth order. */
function differences(problem: BackwardProblem): BackwardResult {
  const of = (name: (typeof TENSORS)[number]) => {
    const array = Float64Array.from(problem[name]);
    const moved = { ...problem, [name]: array } as ReferenceProblem;
    return array.map((x, n) => {
      const h = 2 ** -10;
      const at = (step: number) => {
        array[n] = x + step;
        const loss = lossOf(attention(moved), problem);
        array[n] = x;
        return loss;
      };
      return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    });
  };
  return {
    queryGradient: of("query"),
    keyGradient: of("key"),
    valueGradient: of("value"),
  };
}

function assertClose(
  actual: BackwardResult,
  expected: BackwardResult,
  relative: number,
): void {
  for (const name of TENSORS) {
    const [a, e] = [actual[GRADIENTS[name]], expected[GRADIENTS[name]]];
    assertEquals(a.length, e.length);
    let largest = 1;
    e.forEach((x) => largest = Math.max(largest, Math.abs(x)));
    a.forEach((x, n) => {
      const off = Math.abs(x - e[n]);
      assert(
        off <= relative * largest,
        `${name}[${n}] is ${x}, not ${e[n]}`,
      );
    });
  }
}

const small = cases({
  queryLength: fc.integer({ min: 0, max: 4 }),
  keyLength: fc.integer({ min: 0, max: 6 }),
  headDim: fc.integer({ min: 1, max: 4 }),
  valueHeadDim: fc.integer({ min: 1, max: 4 }),
  logitScale: fc.constantFrom(0, 1, 2),
});

property(
  "attentionBackward() is the slope of attention(), by finite differences",
  [small, fc.boolean()],
  (c, dropout) => {
    const problem = backwardOf(c);
    if (dropout) problem.keep = keep;
    // Steps of 2^-10 leave h^4 / 30 of a fifth derivative, and rounding of
    // 2^-52 / 2^-10.
    assertClose(attentionBackward(problem), differences(problem), 2e-9);
  },
  { runs: 200 },
);

property(
  "attentionBackward() is linear in what comes back",
  [cases()],
  (c) => {
    const problem = backwardOf(c);
    const other = backwardOf({ ...c, seed: c.seed + 1 });
    const sum = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Float64Array.from(a, (x, n) => 2 * x + b[n]);
    const both = attentionBackward({
      ...problem,
      outputGradient: sum(problem.outputGradient, other.outputGradient),
      lseGradient: sum(problem.lseGradient!, other.lseGradient!),
    });
    const one = attentionBackward(problem);
    const { outputGradient, lseGradient } = other;
    const two = attentionBackward({ ...problem, outputGradient, lseGradient });
    const expected = {
      queryGradient: sum(one.queryGradient, two.queryGradient),
      keyGradient: sum(one.keyGradient, two.keyGradient),
      valueGradient: sum(one.valueGradient, two.valueGradient),
    } as BackwardResult;
    assertClose(both, expected, 1e-12);
  },
);

property(
  "attentionBackward() of keys that nobody sees is 0, whatever lies there",
  [cases()],
  (c) => {
    const problem = backwardOf(c);
    const keyLength = c.keyLength;
    const keyLengths = range(c.batch).map((b) =>
      Math.max(keyLength - 1 - b, 0)
    );
    const queryOffset = keyLengths.map((length) => length - c.queryLength);
    const poison = (array: ArrayLike<number>, width: number) =>
      Float32Array.from(array, (x, n) => {
        const token = Math.floor(n / width);
        const [b, j] = [Math.floor(token / keyLength), token % keyLength];
        return j < keyLengths[b] ? x : NaN;
      });
    const { keyGradient, valueGradient } = attentionBackward({
      ...problem,
      key: poison(problem.key, c.kvHeads * c.headDim),
      value: poison(problem.value, c.kvHeads * c.valueHeadDim),
      keyLengths,
      queryOffset,
    });
    const check = (gradient: Float64Array, width: number) =>
      gradient.forEach((x, n) => {
        const token = Math.floor(n / width);
        const [b, j] = [Math.floor(token / keyLength), token % keyLength];
        assert(j < keyLengths[b] ? Number.isFinite(x) : x === 0);
      });
    check(keyGradient, c.kvHeads * c.headDim);
    check(valueGradient, c.kvHeads * c.valueHeadDim);
  },
);

property(
  "attentionBackward() permutes with its keys",
  [cases({
    mask: fc.constant("none"),
    score: fc.constantFrom("none", "softcap"),
  })],
  (c) => {
    const problem = backwardOf({ ...c, batch: 1 });
    const order = new Prng(c.seed).shuffle(range(c.keyLength));
    const [keyWidth, valueWidth] = [
      c.kvHeads * c.headDim,
      c.kvHeads * c.valueHeadDim,
    ];
    const plain = attentionBackward(problem);
    const permuted = attentionBackward({
      ...problem,
      key: reorder(problem.key, order, keyWidth),
      value: reorder(problem.value, order, valueWidth),
    });
    assertClose(permuted, {
      queryGradient: plain.queryGradient,
      keyGradient: Float64Array.from(
        reorder(plain.keyGradient, order, keyWidth),
      ),
      valueGradient: Float64Array.from(
        reorder(plain.valueGradient, order, valueWidth),
      ),
    }, 1e-12);
  },
);

property(
  "attentionBackward() tells every pair its score's slope",
  [small],
  (c) => {
    const problem = backwardOf(c);
    // A bias for each distance, whose gradient is what is told.
    const bias = new Float64Array(32);
    const at = (i: number, j: number) => j - i + 16;
    const biased: BackwardProblem = {
      ...problem,
      score: (s, b, h, i, j) =>
        (problem.score?.(s, b, h, i, j) ?? s) + bias[at(i, j)],
      scoreDerivative: problem.scoreDerivative ?? (() => 1),
    };
    const gradient = new Float64Array(32);
    attentionBackward({
      ...biased,
      onScoreGradient: (ds, _s, _b, _h, i, j) => gradient[at(i, j)] += ds,
    });
    bias.forEach((_, n) => {
      const h = 2 ** -10;
      const loss = (step: number) => {
        bias[n] = step;
        const value = lossOf(attention(biased), problem);
        bias[n] = 0;
        return value;
      };
      const slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) /
        (12 * h);
      assertAlmostEquals(gradient[n], slope, 1e-8);
    });
  },
);

property(
  "raggedAttentionBackward() is the slope of raggedAttention()",
  [
    small,
    fc.array(fc.tuple(fc.nat(3), fc.nat(4)), { minLength: 1, maxLength: 3 }),
  ],
  (c, lengths) => {
    const prng = new Prng(c.seed);
    const starts = (part: 0 | 1) =>
      lengths.reduce((sum, l) => [...sum, sum.at(-1)! + l[part]], [0]);
    const [cuSeqlensQuery, cuSeqlensKey] = [starts(0), starts(1)];
    const { headDim, valueHeadDim, kvHeads } = c;
    const queryHeads = kvHeads * c.queriesPerKvHead;
    const [queries, keys] = [cuSeqlensQuery.at(-1)!, cuSeqlensKey.at(-1)!];
    const dense = backwardOf(c);
    const problem = {
      queryHeads,
      kvHeads,
      headDim,
      valueHeadDim,
      cuSeqlensQuery,
      cuSeqlensKey,
      query: normals(prng, queries * queryHeads * headDim),
      key: normals(prng, keys * kvHeads * headDim),
      value: normals(prng, keys * kvHeads * valueHeadDim),
      // The index of the sequence matters to all.
      score: (s: number, b: number) => Math.sin(s + b),
      scoreDerivative: (s: number, b: number) => Math.cos(s + b),
      mask: dense.mask,
      keep,
      outputGradient: normals(prng, queries * queryHeads * valueHeadDim),
      lseGradient: normals(prng, queries * queryHeads),
    };
    const told = new Set<number>();
    const actual = raggedAttentionBackward({
      ...problem,
      onScoreGradient: (_ds, _s, b) => told.add(b),
    });
    for (const b of told) assert(b < lengths.length);
    for (const name of TENSORS) {
      const array = Float64Array.from(problem[name]);
      array.forEach((x, n) => {
        const h = 2 ** -10;
        const at = (step: number) => {
          array[n] = x + step;
          const result = raggedAttention({ ...problem, [name]: array });
          array[n] = x;
          return lossOf(result, problem as unknown as BackwardProblem);
        };
        const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) /
          (12 * h);
        assertAlmostEquals(actual[GRADIENTS[name]][n], slope, 1e-8);
      });
    }
  },
  { runs: 60 },
);

Deno.test("pagedAttentionBackward() gives the gradients of gathered keys", () => {
  const prng = new Prng(8);
  const shared = {
    queryHeads: 2,
    kvHeads: 1,
    headDim: 2,
    query: normals(prng, 3 * 2 * 2),
    cuSeqlensQuery: [0, 1, 3],
    outputGradient: normals(prng, 3 * 2 * 2),
  };
  const [keyBlocks, valueBlocks] = [normals(prng, 4 * 4), normals(prng, 4 * 4)];
  const paged = pagedAttentionBackward({
    ...shared,
    keyBlocks,
    valueBlocks,
    numBlocks: 4,
    blockSize: 2,
    // Block 3 belongs to both.
    blockTable: [3, 0, 3, 1],
    maxBlocks: 2,
    keyLengths: [3, 4],
  });
  const slots = [6, 7, 0, 6, 7, 2, 3];
  const ragged = raggedAttentionBackward({
    ...shared,
    key: reorder(keyBlocks, slots, 2),
    value: reorder(valueBlocks, slots, 2),
    cuSeqlensKey: [0, 3, 7],
  });
  assertEquals(paged, ragged);
});

const SHAPE: Case = {
  seed: 1,
  batch: 1,
  queryLength: 2,
  keyLength: 5,
  kvHeads: 1,
  queriesPerKvHead: 1,
  headDim: 2,
  valueHeadDim: 2,
  logitScale: 1,
  mask: "nothing",
  score: "none",
};

Deno.test("attentionBackward() gives nothing for rows without keys", () => {
  const problem = backwardOf(SHAPE);
  const value = Float32Array.from(problem.value).fill(NaN);
  const gradients = attentionBackward({ ...problem, value });
  for (const name of TENSORS) {
    const gradient = gradients[GRADIENTS[name]];
    assertEquals([...gradient], [...gradient].map(() => 0));
  }
});

Deno.test("attentionBackward() refuses what does not fit", () => {
  const problem = backwardOf({ ...SHAPE, mask: "none" });
  const wrong: [Partial<BackwardProblem>, string][] = [
    [{ outputGradient: [1] }, "outputGradient must have 4 elements"],
    [{ lseGradient: [1] }, "lseGradient must have 2 elements"],
    [{ score: (s) => s }, "scoreDerivative must be a function"],
  ];
  for (const [change, message] of wrong) {
    const call = () => attentionBackward({ ...problem, ...change });
    assertThrows(call, TypeError, message);
  }
  const ragged = {
    ...problemOf(SHAPE),
    cuSeqlensQuery: [0, 2],
    cuSeqlensKey: [0, 5],
    outputGradient: [1],
  };
  assertThrows(
    () => raggedAttentionBackward(ragged),
    TypeError,
    "outputGradient must have 4 elements [2, 1, 2]",
  );
});

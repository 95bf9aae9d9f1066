import { assertEquals } from "@std/assert";
import {
  attention,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  referenceProblem,
  type SequenceData,
} from "../support/attention/cases.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** What scores are multiplied by, and the two scores that keys have before. */
const SCORES: readonly (readonly [
  scale: number,
  near: number,
  far: number,
])[] = [
  [1e30, -2, -3],
  [1e30, -1, -2],
  [1e38, -3, -3.25],
  [1e30, 2, 1],
];

const NEAR_KEYS = 32;

const BASE: AttentionCase = {
  ...PLAIN,
  sequences: [[40, 2 * NEAR_KEYS]],
  headDim: 4,
  valueHeadDim: 8,
};

/** Each maps the keys to lanes, steps and parts in another way. */
const KERNELS: readonly AttentionCase[] = [
  BASE,
  { ...BASE, splits: 2 },
  { ...BASE, sequences: [[1, 2 * NEAR_KEYS]] },
  { ...BASE, sequences: [[1, 2 * NEAR_KEYS]], splits: 2 },
  { ...BASE, algorithm: "standard" },
];

/**
 * Every other key is `near` for all queries, the others are `far`. Values are
 * whole numbers, so that a mean of the near keys' is exact even in f16.
 */
function dataAt(
  c: AttentionCase,
  near: number,
  far: number,
): SequenceData[] {
  return dataOf(c).map(({ query, key, value }) => ({
    query: query.map((_, n) => n % c.headDim === 0 ? 1 : 0),
    key: key.map((_, n) => {
      if (n % c.headDim !== 0) return 0;
      return (n / c.headDim) % 2 === 0 ? near : far;
    }),
    value: value.map((x) => Math.round(x)),
  }));
}

/** With scores so far apart, far keys are as good as hidden. */
function expectedOf(c: AttentionCase, [data]: readonly SequenceData[]) {
  const problem = {
    ...referenceProblem(c, data, 0),
    query: data.query.map(() => 0),
    mask: (_b: number, _h: number, _q: number, key: number) => key % 2 === 0,
  };
  const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
  return { expected: attention(problem).output, bound: bound.output };
}

for (const dtype of ["f32", "f16"] as const) {
  gpuTest(
    `kernels see every score down to the lowest float32, ${dtype}`,
    async (_, gpu) => {
      const cases = KERNELS.flatMap((kernel) =>
        SCORES.map(([scale, near, far]) => {
          const c = { ...kernel, dtype, scale };
          return { c, near, data: dataAt(c, near, far) };
        })
      );
      const results = await runCases(gpu, cases.map(({ c }) => c), {
        data: (_, i) => cases[i].data,
      });
      for (const [i, { c, near, data }] of cases.entries()) {
        const { expected, bound } = expectedOf(c, data);
        const { output, lse, explanation } = results[i];
        const message = `scores of ${near * c.scale} by ${
          explanation.dispatches.map(({ kernel }) => kernel).join(", ")
        }`;
        const found = compareWithBound({ actual: output, expected, bound });
        assertEquals(found.ok, true, `${message}: ${JSON.stringify(found)}`);
        // Beside such a maximum, the logarithm of the sum is lost.
        const maximum = Math.fround(near * Math.fround(c.scale));
        assertEquals(lse, new Float32Array(lse.length).fill(maximum), message);
      }
    },
    { features: dtype === "f16" ? ["shader-f16"] : [] },
  );
}

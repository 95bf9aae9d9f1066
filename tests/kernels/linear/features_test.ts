import fc from "fast-check";
import { linearCases } from "../../support/linear_cases.ts";
import {
  checkFeatures,
  type FeatureCase,
  runFeatures,
} from "../../support/linear_features.ts";
import { gpuTest } from "../../support/gpu.ts";
import { runsOf, SEED } from "../../support/property.ts";

/** Kinds of kernels, few, as each is compiled: shapes differ within them. */
const KINDS = [
  { rule: "linear", headDims: [4, 8], valueDims: [4, 40], eps: [1e-6, 0.5] },
  { rule: "linear", headDims: [1, 2, 3, 9], valueDims: [1, 7], eps: [1e-12] },
  { rule: "gated", headDims: [2, 5], valueDims: [3, 6], eps: [1e-6] },
  { rule: "linear", headDims: [3, 5], valueDims: [8], eps: [undefined] },
] as const;

const drawn = (dtype: "f32" | "f16", runs: number, kinds: number) =>
  KINDS.slice(0, kinds).flatMap(({ rule, headDims, valueDims, eps }, i) =>
    fc.sample(
      fc.tuple(
        linearCases({
          rule: fc.constant(rule),
          decay: fc.constant("head"),
          dtype: fc.constant(dtype),
          headDim: fc.constantFrom(...headDims),
          valueHeadDim: fc.constantFrom(...valueDims),
          sequences: fc.array(fc.constantFrom(0, 1, 4, 15, 16, 17, 40), {
            minLength: 1,
            maxLength: 3,
          }),
          distribution: fc.constantFrom("unit", "normal", "equal", "tiny"),
          initialState: fc.constant(false),
        }),
        fc.constantFrom(...eps),
        fc.constantFrom(16, 32, 128),
        fc.option(fc.constantFrom(0.1, 1), { nil: undefined }),
        fc.constantFrom("auto" as const, "chunked" as const),
      ),
      { seed: SEED + i, numRuns: runs },
    )
  ).map(([c, eps, chunk, scale, form]): FeatureCase => ({
    ...c,
    form,
    ...eps !== undefined && { eps },
    chunk,
    ...scale !== undefined && { scale: Math.fround(scale) },
  }));

/** BASED's own: 16 elements of queries and keys, 64 of values. */
const BASED: FeatureCase = {
  seed: 5,
  dtype: "f32",
  layout: "dense",
  sequences: [70],
  queryHeads: 1,
  keyHeads: 1,
  valueHeads: 1,
  headDim: 16,
  valueHeadDim: 64,
  distribution: "normal",
  eps: 1e-12,
  chunk: 32,
};

gpuTest(
  "linearAttention() keeps the error rule: Taylor features",
  async (_, gpu) => {
    const short = { ...BASED, sequences: [11] };
    const cases = [BASED, short, ...drawn("f32", runsOf(3), KINDS.length)];
    const results = await runFeatures(gpu, cases);
    cases.forEach((c, i) => checkFeatures(c, results[i]));
  },
);

gpuTest(
  "linearAttention() keeps the error rule: Taylor features of f16",
  async (_, gpu) => {
    const cases = drawn("f16", runsOf(3), 1);
    const results = await runFeatures(gpu, cases);
    cases.forEach((c, i) => checkFeatures(c, results[i]));
  },
  { features: ["shader-f16"] },
);

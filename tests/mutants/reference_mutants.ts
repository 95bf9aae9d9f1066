/**
 * One-line faults in the shadow, and in the number that it shares with the
 * kernels: where a running maximum starts.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";

const SHADOW_ROW = {
  file: "reference/shadow_row.ts",
  tests: ["tests/reference/shadow_test.ts"],
} as const;

/** Faults of the shadow and of the sentinel. */
export const REFERENCE_MUTANTS: readonly Mutant[] = [
  {
    name: "scores may lie below the shadow's sentinel",
    file: "src/core/sentinel.ts",
    find: "-(2 - 2 ** -23) * 2 ** 127",
    replace: "-1e30",
    tests: ["tests/reference/shadow_test.ts"],
  },
  {
    name: "scores may lie below the kernels' sentinel",
    file: "src/core/sentinel.ts",
    find: '"-0x1.fffffep+127f"',
    replace: '"-1e30f"',
    tests: ["tests/kernels/sentinel_test.ts"],
  },
  {
    name: "the shadow's sum is not rescaled",
    ...SHADOW_ROW,
    find: "state.sum = fmaF32(state.sum, alpha, sum);",
    replace: "state.sum = f32(state.sum + sum);",
  },
  {
    name: "the shadow's accumulator is not rescaled",
    ...SHADOW_ROW,
    find: "fmaF32(accumulator[c], alpha, product)",
    replace: "f32(accumulator[c] + product)",
  },
  {
    name: "the shadow's merged parts all weigh the same",
    ...SHADOW_ROW,
    find: "own === max ? 1 : expF32(f32(own - max))",
    replace: "1",
  },
  {
    name: "the shadow's dot product takes the first of four elements first",
    file: "reference/fma.ts",
    find: "let t = Math.min(vec + 4, length) - 1; t >= vec; t--",
    replace: "let t = vec; t < Math.min(vec + 4, length); t++",
    tests: ["tests/reference/fma_test.ts"],
  },
];

/**
 * How tests compare gradients.
 *
 * @module
 */

import {
  attentionBackward,
  type BackwardProblem,
  type BackwardResult,
  compareErrors,
  compareWithBound,
  type GradientBound,
  type LowPrecisionGradients,
  naiveAttentionBackward,
  storedOutputError,
} from "../../reference/mod.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";

/** The three gradients. */
export const GRADIENTS = [
  "queryGradient",
  "keyGradient",
  "valueGradient",
] as const;

/** Fails with a table unless each gradient is within its bound. */
export function assertGradientsWithin(
  actual: LowPrecisionGradients,
  expected: BackwardResult,
  bounds: GradientBound,
): void {
  for (const name of GRADIENTS) {
    const arrays = { actual: actual[name], expected: expected[name] };
    const bound = bounds[name];
    const { ok, where } = compareWithBound({ ...arrays, bound });
    if (ok) continue;
    throw new Error(`${name}: ${mismatchTable({ ...arrays, where, bound })}`);
  }
}

/** Fails with a table unless each gradient keeps the ratio rule for f16. */
export function assertGradientsAsNaive(
  actual: LowPrecisionGradients,
  problem: BackwardProblem,
): void {
  const expected = attentionBackward(problem);
  const naive = naiveAttentionBackward({ ...problem, precision: "f16" });
  const lost = storedOutputError(problem);
  for (const name of GRADIENTS) {
    const arrays = { actual: actual[name], expected: expected[name] };
    const comparison = compareErrors({
      ...arrays,
      naive: naive[name],
      lost: lost[name],
    });
    const { ok, where, maxBound: bound } = comparison;
    if (ok) continue;
    const table = mismatchTable({ ...arrays, where, bound });
    throw new Error(`${name}: ${JSON.stringify(comparison)}\n${table}`);
  }
}

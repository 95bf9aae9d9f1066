/**
 * The error rule: how far from float64 a result may be. No tolerance is ever
 * tuned by hand; there are two rules and both follow from the problem.
 *
 * **The bound rule**, for float32: every element within a bound, which
 * `errorBound` derives from the problem.
 *
 * **The ratio rule**, for float16: at most twice the largest error, and 1.1
 * times the mean error, of a naive version in the same precision.
 *
 * A NaN fails either.
 *
 * @module
 */

import { checkType } from "../src/core/check.ts";
import type { Precision } from "./naive.ts";

/**
 * How far two arrays are apart.
 *
 * @category Error bounds
 */
export interface Difference {
  /** Largest absolute error; NaN if there is a NaN. */
  readonly max: number;
  /** Mean absolute error; NaN if there is a NaN. */
  readonly mean: number;
  /** Flat index of the worst element (the first NaN); -1 if empty. */
  readonly where: number;
}

/**
 * The absolute errors of an array. Equal infinities are no error.
 *
 * @throws {TypeError} if the lengths differ.
 */
export function differenceOf(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): Difference {
  const rule = `must have as many elements as expected (${expected.length})`;
  checkType(actual.length === expected.length, "actual", rule, actual.length);
  let max = 0;
  let sum = 0;
  let where = actual.length === 0 ? -1 : 0;
  for (let n = 0; n < actual.length; n++) {
    const same = actual[n] === expected[n];
    const error = same ? 0 : Math.abs(actual[n] - expected[n]);
    if (Number.isNaN(error)) return { max: NaN, mean: NaN, where: n };
    sum += error;
    if (error > max) [max, where] = [error, n];
  }
  return { max, mean: sum / Math.max(actual.length, 1), where };
}

/**
 * Whether a result is within a bound.
 *
 * @category Error bounds
 */
export interface BoundComparison extends Difference {
  /** The bound. */
  readonly bound: number;
  /** Whether `max <= bound`; a NaN never is. */
  readonly ok: boolean;
}

/**
 * Compares with a bound on the absolute error of every element.
 *
 * @throws {TypeError} if the lengths differ.
 *
 * @example Off by a quarter
 * ```ts
 * import { compareWithBound } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const result = compareWithBound({
 *   actual: [1, 2.25],
 *   expected: [1, 2],
 *   bound: 0.1,
 * });
 * assertEquals(result.max, 0.25);
 * assertEquals(result.where, 1);
 * assertEquals(result.ok, false);
 * ```
 *
 * @category Error bounds
 */
export function compareWithBound(
  { actual, expected, bound }: {
    actual: ArrayLike<number>;
    expected: ArrayLike<number>;
    bound: number;
  },
): BoundComparison {
  const difference = differenceOf(actual, expected);
  return { ...difference, bound, ok: difference.max <= bound };
}

/**
 * Whether a result is as good as the naive version's.
 *
 * @category Error bounds
 */
export interface ErrorComparison extends Difference {
  /** Largest absolute error of the naive version. */
  readonly naiveMax: number;
  /** Mean absolute error of the naive version. */
  readonly naiveMean: number;
  /** Largest error allowed. */
  readonly maxBound: number;
  /** Largest mean error allowed; Infinity in float32. */
  readonly meanBound: number;
  /** Whether both are kept; a NaN never does. */
  readonly ok: boolean;
}

/**
 * The ratio rule. Both bounds have a floor, for the naive version may be
 * exact by luck: with unit roundoff `u`, `2 u (max|expected| + 0.3)` for the
 * maximum (the most that `expected + 0.3 - 0.3` can lose, twice) and
 * `u mean|expected|` for the mean. So a correctly rounded result always passes.
 * A naive version that overflowed excuses nothing beyond the floor.
 *
 * @param options The result, the float64 one, the naive one, the precision that
 * result and naive are stored in (default `"f16"`), and what else to add to the
 * floors (default nothing): what is lost before an implementation begins.
 * @throws {TypeError} if the lengths differ.
 *
 * @example A result that is as wrong as the naive one
 * ```ts
 * import {
 *   attention,
 *   compareErrors,
 *   naiveAttention,
 * } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const problem = {
 *   query: [0.5, 1],
 *   key: [1, 0, 0, 1],
 *   value: [1, 2, 3, 4],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 * };
 * const naive = naiveAttention({ ...problem, precision: "f16" }).output;
 * const expected = attention(problem).output;
 * assert(compareErrors({ actual: naive, expected, naive }).ok);
 * ```
 *
 * @category Error bounds
 */
export function compareErrors(
  { actual, expected, naive, precision = "f16", lost = { max: 0, mean: 0 } }: {
    actual: ArrayLike<number>;
    expected: ArrayLike<number>;
    naive: ArrayLike<number>;
    precision?: Precision;
    lost?: { readonly max: number; readonly mean: number };
  },
): ErrorComparison {
  const difference = differenceOf(actual, expected);
  const { max: naiveMax, mean: naiveMean } = differenceOf(naive, expected);
  const floor = floorOf(expected, precision);
  const maxBound = 2 * finiteOr0(naiveMax) + floor.max + lost.max;
  const meanBound = precision === "f16"
    ? 1.1 * finiteOr0(naiveMean) + floor.mean + lost.mean
    : Infinity;
  const ok = difference.max <= maxBound && difference.mean <= meanBound;
  return { ...difference, naiveMax, naiveMean, maxBound, meanBound, ok };
}

function floorOf(
  expected: ArrayLike<number>,
  precision: Precision,
): { max: number; mean: number } {
  const roundoff = precision === "f16" ? 2 ** -11 : 2 ** -24;
  // Half the smallest subnormal: what rounding loses next to 0.
  const underflow = precision === "f16" ? 2 ** -25 : 2 ** -150;
  let max = 0;
  let sum = 0;
  for (let n = 0; n < expected.length; n++) {
    max = Math.max(max, Math.abs(expected[n]));
    sum += Math.abs(expected[n]);
  }
  const mean = sum / Math.max(expected.length, 1);
  return {
    max: 2 * roundoff * (max + 0.3),
    mean: roundoff * mean + underflow,
  };
}

function finiteOr0(x: number): number {
  return Number.isFinite(x) ? x : 0;
}

/**
 * The working bound of gradients with respect to what score mods capture.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import {
  capturedShape,
  evaluatedTerms,
} from "../src/mods/derivative/capture_derivative.ts";
import type { CapturedFloats, ScoreMod } from "../src/mods/mod.ts";
import type { BackwardProblem } from "./attention_backward.ts";
import { forEachBackwardRow } from "./backward_rows.ts";
import { ROUNDOFF } from "./error_bound.ts";
import {
  flushedOf,
  GRADIENT_GATES,
  sizeOf,
  weightError,
} from "./gradient_bound.ts";

/**
 * The working bound of a gradient with respect to captured floats: what
 * `./gradient_bound.ts` says of `ds`, for the sum of `ds slope` over the `N` pairs that read an
 * element:
 *
 * ```text
 * sqrt(sum_ij (w slope)^2 + sum_i (e (|dO| |v| + |dL|) sum_j p slope)^2)
 *   + e |g| + u sqrt(N) (sqrt(sum_ij (ds slope)^2) + |g|)
 * ```
 *
 * A slope is taken to be off by a few roundings.
 *
 * @param mods The score mods whose `scoreFunction` is the problem's `score`.
 * @throws {TypeError} if no mod captures it, or an array is not as long as its
 * shape says.
 * @throws {RangeError} if a size is out of range.
 *
 * @example A bias table of three
 * ```ts
 * import { captureGradientBound } from "@quire/attention/reference";
 * import {
 *   relativeBias,
 *   scoreDerivative,
 *   scoreFunction,
 * } from "@quire/attention/mods";
 * import { assert } from "@std/assert";
 *
 * const table = Float32Array.of(0, 0, 0);
 * const mods = [relativeBias(table, [1, 3])];
 * const bound = captureGradientBound({
 *   query: [0],
 *   key: [5, 7],
 *   value: [1, 2],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   score: scoreFunction(mods),
 *   scoreDerivative: scoreDerivative(mods),
 *   outputGradient: [1],
 * }, { mods, captured: table, rows: 1, keys: 2 });
 * assert(bound > 0 && bound < 1e-5);
 * ```
 *
 * @category Gradients
 */
export function captureGradientBound(
  problem: BackwardProblem,
  { mods, captured, rows, keys, gate = GRADIENT_GATES.shadow }: {
    mods: readonly ScoreMod[];
    captured: CapturedFloats;
    rows: number;
    keys: number;
    gate?: number;
  },
): number {
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
  const e = weightError(problem, { rows, keys });
  const terms = evaluatedTerms(mods, captured);
  const elements = capturedShape(captured).reduce((n, size) => n * size, 1);
  const [gradient, errors, squares, counts] = Array.from(
    { length: 4 },
    () => new Float64Array(elements),
  );
  forEachBackwardRow(problem, (row, { valueHeadDim }) => {
    const size = sizeOf(problem, row, valueHeadDim);
    const common = new Map<number, number>();
    for (const { pair, product, weight, weightGradient } of row.keys) {
      const ds = weight * (weightGradient - row.delta);
      for (const term of terms) {
        const place = term.place(product, ...pair);
        const slope = term.slope(product, ...pair);
        const error = e * weight * size * Math.abs(slope) +
          e * Math.abs(ds * slope);
        gradient[place] += ds * slope;
        errors[place] += error ** 2;
        squares[place] += (ds * slope) ** 2;
        counts[place]++;
        common.set(place, (common.get(place) ?? 0) + weight * slope);
      }
    }
    for (const [place, sum] of common) errors[place] += (e * size * sum) ** 2;
  });
  let most = 0;
  gradient.forEach((g, n) => {
    const added = ROUNDOFF * Math.sqrt(counts[n]) *
      (Math.sqrt(squares[n]) + Math.abs(g));
    const error = Math.sqrt(errors[n]) + e * Math.abs(g) + added +
      flushedOf(counts[n], 1);
    most = Math.max(most, error);
  });
  return gate * most;
}

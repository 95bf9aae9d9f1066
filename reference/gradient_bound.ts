/**
 * The working bound of gradients: how far a float32 backward may be from
 * float64. With the names of `attention_backward.ts`, the unit roundoff `u` and
 * a weight's relative error in forward and recomputed,
 *
 * ```text
 * e = u (4 + sqrt(n) + (1 + log2 max(d, dv)) max(smax, 1))
 * ```
 *
 * where `n` counts the roundings on the way of the longest sum, a pair's `ds` is
 * off by at most `w = e p (|dO| |v| + |dL|)`: `|dO| |v|`, with the longest value
 * that the row sees, is the size of `dP` and `D` before they cancel. The score
 * function's slope `g` is off by `dg`: what the error of the score moves it,
 * and a few roundings of numbers near 1. Errors of different pairs cancel as
 * random ones do, but those of a row's `L` and `D` are common to its keys:
 *
 * ```text
 * dv: sqrt(sum_i (e z p dO)^2) + e |dv|
 * dk: scale sqrt(sum_i ((w g + ds dg) q)^2) + e |dk|
 * dq: scale sqrt(sum_j ((w g + ds dg) k)^2) + e |dq|
 *       + e scale (|dO| |v| + |dL|) |sum_j p g k|
 * ```
 *
 * The bound of a tensor is the largest of its elements', times the gate. No
 * proof, as with forward's.
 *
 * Gradients may be smaller than any normal float32, which WGSL lets become 0.
 * So each of the `terms` of a sum, and of what makes it, may be off by `2^-126`:
 * `2^-126 (1 + terms (1 + scale |q|))` more for `dk`, and so on.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import { attention } from "./attention.ts";
import {
  attentionBackward,
  type BackwardProblem,
} from "./attention_backward.ts";
import { type BackwardRow, forEachBackwardRow } from "./backward_rows.ts";
import { largestOf, roundings, ROUNDOFF } from "./error_bound.ts";
import { geometryOf } from "./problem.ts";
import { dot } from "./scores.ts";

/** The smallest normal float32; WGSL may take smaller ones for 0. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * How many times the working bound of gradients an implementation may be off.
 *
 * @category Gradients
 */
export const GRADIENT_GATES: {
  /** The shadow's. */
  readonly shadow: number;
  /** A WGSL kernel's, whose `exp` alone may be off by `3 + 2|x|` units. */
  readonly wgsl: number;
} = { shadow: 1, wgsl: 4 };

/**
 * The working bound of one problem's gradients.
 *
 * @category Gradients
 */
export interface GradientBound {
  /** Largest error of an element of `dQ`. */
  readonly queryGradient: number;
  /** Largest error of an element of `dK`. */
  readonly keyGradient: number;
  /** Largest error of an element of `dV`. */
  readonly valueGradient: number;
}

/**
 * The working bound of a problem's gradients in float32.
 *
 * @param problem The problem, as the implementation sees it (inputs rounded).
 * @param options Query rows and keys in one tile, and the gate; default
 * {@linkcode GRADIENT_GATES}'s shadow.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a size is out of range.
 *
 * @example What gradients in float32 may be off by
 * ```ts
 * import { attentionBackward, gradientBound } from "@quire/attention/reference";
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
 *   outputGradient: [1, -1],
 * };
 * const bound = gradientBound(problem, { rows: 1, keys: 2 });
 * const { valueGradient } = attentionBackward(problem);
 * assert(
 *   valueGradient.every((x) => Math.abs(x - Math.fround(x)) <= bound.valueGradient),
 * );
 * ```
 *
 * @category Gradients
 */
export function gradientBound(
  problem: BackwardProblem,
  { rows, keys, gate = GRADIENT_GATES.shadow }: {
    rows: number;
    keys: number;
    gate?: number;
  },
): GradientBound {
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
  const geometry = geometryOf(problem);
  const exact = attentionBackward(problem);
  const { query, key, value, outputGradient, headDim } = problem;
  const { valueHeadDim } = geometry;
  const scale = Math.abs(geometry.scale);
  const e = weightError(problem, { rows, keys });

  // Sums of squared errors, element by element.
  const queryErrors = new Float64Array(query.length);
  const keyErrors = new Float64Array(key.length);
  const valueErrors = new Float64Array(value.length);
  // What is common to a row, as |error|.
  const common = new Float64Array(query.length);

  forEachBackwardRow(problem, (row) => {
    const { queryAt, outputAt, keys, delta } = row;
    const size = sizeOf(problem, row, valueHeadDim);
    const sums = new Float64Array(headDim);
    for (const seen of keys) {
      const { keyAt, valueAt, weight, kept, product } = seen;
      const slope = seen.slopeAt(product);
      const moved = problem.scoreDerivative
        ? Math.abs(seen.slopeAt(product + e) - slope) +
          4 * ROUNDOFF * (1 + Math.abs(slope))
        : 0;
      const ds = weight * (seen.weightGradient - delta);
      const error = scale *
        (Math.abs(e * weight * size * slope) + Math.abs(ds * moved));
      for (let t = 0; t < headDim; t++) {
        queryErrors[queryAt + t] += (error * key[keyAt + t]) ** 2;
        keyErrors[keyAt + t] += (error * query[queryAt + t]) ** 2;
        sums[t] += scale * weight * slope * key[keyAt + t];
      }
      for (let c = 0; c < valueHeadDim; c++) {
        const term = kept * weight * outputGradient[outputAt + c];
        valueErrors[valueAt + c] += (e * term) ** 2;
      }
    }
    sums.forEach((sum, t) => common[queryAt + t] = e * size * Math.abs(sum));
  });
  const largest = (
    errors: Float64Array,
    gradient: Float64Array,
    flushed: number,
    shared?: Float64Array,
  ) => {
    let most = 0;
    errors.forEach((square, at) => {
      const error = Math.sqrt(square) + e * Math.abs(gradient[at]) +
        (shared?.[at] ?? 0) + flushed;
      most = Math.max(most, error);
    });
    return gate * most;
  };
  const rowsOfKey = problem.queryLength * problem.queryHeads / problem.kvHeads;
  const keysOfRow = problem.keyLength;
  return {
    queryGradient: largest(
      queryErrors,
      exact.queryGradient,
      flushedOf(keysOfRow, scale * largestIn(key)),
      common,
    ),
    keyGradient: largest(
      keyErrors,
      exact.keyGradient,
      flushedOf(rowsOfKey, scale * largestIn(query)),
    ),
    valueGradient: largest(
      valueErrors,
      exact.valueGradient,
      flushedOf(rowsOfKey, largestIn(outputGradient)),
    ),
  };
}

/** What flushing subnormal numbers costs a sum of products with `factor`. */
export function flushedOf(terms: number, factor: number): number {
  return SMALLEST_NORMAL * (1 + terms * (1 + factor));
}

/** The largest finite magnitude of an array: what no row sees may be another. */
function largestIn(array: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < array.length; i++) {
    const magnitude = Math.abs(array[i]);
    if (magnitude > largest && magnitude < Infinity) largest = magnitude;
  }
  return largest;
}

/**
 * What rounding the saved output costs one gradient.
 *
 * @category Gradients
 */
export interface GradientFloor {
  /** Of the element that it costs most. */
  readonly max: number;
  /** Of all elements in the mean. */
  readonly mean: number;
}

/**
 * What a backward that is given the output as float16 stores it must lose by
 * that alone: `D = <dO, O>` is off by up to `2^-11 |dO O|`, the length of the
 * vector of products, and each `ds` of the row by `p` times as much. It is a
 * part of the floor of the ratio rule, for a naive version may lose as much and
 * make up for it by luck.
 *
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a size is out of range.
 *
 * @example What float16 outputs cost
 * ```ts
 * import { storedOutputError } from "@quire/attention/reference";
 * import { assert, assertEquals } from "@std/assert";
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
 *   outputGradient: [1, -1],
 * };
 * const { queryGradient, valueGradient } = storedOutputError(problem);
 * assert(queryGradient.max > 0);
 * assertEquals(valueGradient.max, 0); // which do not depend on the output
 * ```
 *
 * @category Gradients
 */
export function storedOutputError(
  problem: BackwardProblem,
): Record<keyof GradientBound, GradientFloor> {
  const { query, key, headDim, outputGradient } = problem;
  const { output } = attention(problem);
  const queryErrors = new Float64Array(query.length);
  const keyErrors = new Float64Array(key.length);
  forEachBackwardRow(problem, ({ queryAt, outputAt, keys }, geometry) => {
    let squares = 0;
    for (let c = 0; c < geometry.valueHeadDim; c++) {
      squares += (outputGradient[outputAt + c] * output[outputAt + c]) ** 2;
    }
    const error = 2 ** -11 * Math.sqrt(squares) * geometry.scale;
    for (const { keyAt, weight, product, slopeAt } of keys) {
      const moved = error * weight * slopeAt(product);
      for (let t = 0; t < headDim; t++) {
        queryErrors[queryAt + t] += moved * key[keyAt + t];
        keyErrors[keyAt + t] += (moved * query[queryAt + t]) ** 2;
      }
    }
  });
  return {
    queryGradient: floorOf(queryErrors.map(Math.abs)),
    keyGradient: floorOf(keyErrors.map(Math.sqrt)),
    valueGradient: { max: 0, mean: 0 },
  };
}

function floorOf(errors: Float64Array): GradientFloor {
  let [max, sum] = [0, 0];
  for (const error of errors) {
    max = Math.max(max, error);
    sum += error;
  }
  return { max, mean: sum / Math.max(errors.length, 1) };
}

/**
 * A weight's relative error, as the header has it: in forward and recomputed.
 */
export function weightError(
  problem: BackwardProblem,
  { rows, keys }: { rows: number; keys: number },
): number {
  const { queryLength, keyLength, queryHeads, kvHeads, headDim } = problem;
  const { valueHeadDim } = geometryOf(problem);
  const n = Math.max(
    roundings(keyLength, keys),
    roundings(queryLength * queryHeads / kvHeads, rows),
  );
  const width = 1 + Math.log2(Math.max(headDim, valueHeadDim));
  const { largestScore } = largestOf(problem);
  return ROUNDOFF * (4 + Math.sqrt(n) + width * Math.max(largestScore, 1));
}

/**
 * How far |dO| |v| + |dL| reaches in a row, with the longest value that it sees.
 */
export function sizeOf(
  problem: BackwardProblem,
  { row, outputAt, keys }: BackwardRow,
  valueHeadDim: number,
): number {
  const { value, outputGradient, lseGradient } = problem;
  const length = (array: ArrayLike<number>, at: number) =>
    Math.sqrt(dot(array, at, array, at, valueHeadDim));
  let longest = 0;
  for (const { kept, valueAt } of keys) {
    longest = Math.max(longest, kept * length(value, valueAt));
  }
  return length(outputGradient, outputAt) * longest +
    Math.abs(lseGradient?.[row] ?? 0);
}

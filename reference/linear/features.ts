/**
 * The exponential's Taylor series of second order as a feature map (BASED, Arora
 * et al. 2024, section 3): vectors whose products are weights,
 *
 * ```text
 * <phi(q), phi(k)> = 1 + s + s^2 / 2      s = scale <q, k>
 * ```
 *
 * At least 1/2, and off `exp s` by at most `exp|s| |s|^3 / 6`. With
 * `x' = sqrt(scale) x` of `f` elements,
 *
 * ```text
 * full     [1, x'_i, x'_i x'_j / sqrt(2)]                     1 + f + f f
 * packed   [1, x'_i, then for each i: x'_i^2 / sqrt(2),       1 + f + f (f + 1) / 2
 *           and x'_i x'_j of all j > i]
 * ```
 *
 * Packed has each pair once, with the weight of both, so the products are equal.
 *
 * @module
 */

import { checkRange } from "../../src/core/check.ts";
import { type LinearAttentionProblem, linearGeometryOf } from "./problem.ts";

/**
 * How features are laid out.
 *
 * @category Linear attention
 */
export interface TaylorOptions {
  /** Factor on `<q, k>`, above 0; default `1 / sqrt(f)`. */
  scale?: number | undefined;
  /** Each pair of elements once (default), or all `f^2` products. */
  layout?: "packed" | "full" | undefined;
}

/**
 * The Taylor series of second order.
 *
 * @param s `scale <q, k>`.
 * @returns `1 + s + s^2 / 2`.
 *
 * @example Near an exponential
 * ```ts
 * import { taylorWeight } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * assert(Math.abs(taylorWeight(0.1) - Math.exp(0.1)) < 1e-3 / 4);
 * ```
 *
 * @category Linear attention
 */
export function taylorWeight(s: number): number {
  return 1 + s + s * s / 2;
}

/**
 * The features of one vector.
 *
 * @param vector Its `f` elements.
 * @param options Scale and layout.
 * @returns `1 + f + f (f + 1) / 2` features, or `1 + f + f^2` of the full layout.
 * @throws {RangeError} if the scale is not above 0.
 *
 * @example Their product is the polynomial
 * ```ts
 * import { taylorFeatures, taylorWeight } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const [q, k] = [[2], [3]].map((x) => taylorFeatures(x));
 * let product = 0;
 * q.forEach((x, n) => product += x * k[n]);
 * assertEquals(Math.round(product), taylorWeight(6));
 * ```
 *
 * @category Linear attention
 */
export function taylorFeatures(
  vector: ArrayLike<number>,
  { scale = 1 / Math.sqrt(vector.length), layout = "packed" }: TaylorOptions =
    {},
): Float64Array {
  checkRange(scale > 0, "scale", "must be above 0", scale);
  const root = Math.sqrt(scale);
  const x = Float64Array.from(vector, (element) => root * element);
  const features = [1, ...x];
  for (let i = 0; i < x.length; i++) {
    if (layout === "full") {
      for (const other of x) features.push(x[i] * other * Math.SQRT1_2);
      continue;
    }
    features.push(x[i] * x[i] * Math.SQRT1_2);
    for (let j = i + 1; j < x.length; j++) features.push(x[i] * x[j]);
  }
  return Float64Array.from(features);
}

/**
 * How a problem's vectors become features.
 *
 * @category Linear attention
 */
export interface TaylorProblemOptions extends Pick<TaylorOptions, "layout"> {
  /**
   * Whether values get one more element, which is 1, so that the sum of weights
   * comes along; default false. {@linkcode normalizedOutput} divides by it.
   */
  normalize?: boolean | undefined;
  /**
   * Whether a token counts; default all do. One that does not has features and a
   * value of 0. A key of 0 would not do: its first feature is 1, and so it would
   * have a weight in numerator and denominator.
   */
  counts?: ((token: number) => boolean) | undefined;
}

/**
 * A problem with the features of its queries and keys in their place: linear
 * attention over polynomial weights. Its states have as many rows as there are
 * features, and so has an initial state.
 *
 * @param problem The problem; its scale is that of the weights.
 * @param options Layout of features, the sum of weights, padding.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the scale is not above 0.
 *
 * @example Weights of two keys: 1 + 1 + 1/2 and 1 + 2 + 2
 * ```ts
 * import {
 *   recurrentLinearAttention,
 *   taylorProblem,
 * } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output } = recurrentLinearAttention(taylorProblem({
 *   query: [0, 1],
 *   key: [1, 2],
 *   value: [1, 10],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * }));
 * assertEquals([...output].map((x) => Math.round(10 * x)), [10, 525]);
 * ```
 *
 * @category Linear attention
 */
export function taylorProblem(
  problem: LinearAttentionProblem,
  { layout, normalize = false, counts = () => true }: TaylorProblemOptions = {},
): LinearAttentionProblem {
  const { headDim, keyHeads, valueHeads } = problem;
  const { scale, valueHeadDim } = linearGeometryOf({
    ...problem,
    // One of features, not of what they are made of.
    initialState: undefined,
  });
  const options: TaylorOptions = { scale, layout };
  const query = vectorsOf(problem.query, headDim)
    .map((vector) => taylorFeatures(vector, options));
  const key = vectorsOf(problem.key, headDim).map((vector, row) => {
    const token = Math.floor(row / keyHeads);
    const features = taylorFeatures(vector, options);
    return counts(token) ? features : features.fill(0);
  });
  // What does not count may be anything, NaN too, which no weight of 0 hides.
  const value = vectorsOf(problem.value, valueHeadDim).map((vector, row) => {
    const own = counts(Math.floor(row / valueHeads)) ? vector : vector.fill(0);
    return normalize ? [...own, 1] : own;
  });
  return {
    ...problem,
    query: joined(query),
    key: joined(key),
    value: joined(value),
    headDim: taylorFeatures(new Float64Array(headDim), options).length,
    valueHeadDim: valueHeadDim + (normalize ? 1 : 0),
    scale: 1,
  };
}

/**
 * Divides outputs by the sums of weights that came along.
 *
 * @param output `[..., valueHeadDim + 1]` of a problem that was normalized.
 * @param options `valueHeadDim`, and `eps`, which is added to the sums.
 * @returns `[..., valueHeadDim]`.
 * @throws {RangeError} if eps is not above 0.
 *
 * @example A sum of values 6, and one of weights 2
 * ```ts
 * import { normalizedOutput } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const output = normalizedOutput([6, 2], { valueHeadDim: 1, eps: 1e-12 });
 * assertEquals(Math.round(output[0]), 3);
 * ```
 *
 * @category Linear attention
 */
export function normalizedOutput(
  output: ArrayLike<number>,
  { valueHeadDim, eps }: { valueHeadDim: number; eps: number },
): Float64Array {
  checkEps(eps);
  return joined(
    vectorsOf(output, valueHeadDim + 1).map((vector) =>
      vector.subarray(0, valueHeadDim).map((x) =>
        x / (vector[valueHeadDim] + eps)
      )
    ),
  );
}

/** Checks what is added to sums of weights. */
export function checkEps(eps: number): void {
  checkRange(eps > 0 && eps < Infinity, "eps", "must be above 0", eps);
}

/** An array as vectors of `width` elements. */
function vectorsOf(array: ArrayLike<number>, width: number): Float64Array[] {
  const all = Float64Array.from(array);
  return Array.from(
    { length: all.length / width },
    (_, n) => all.subarray(n * width, (n + 1) * width),
  );
}

function joined(vectors: readonly ArrayLike<number>[]): Float64Array {
  const length = vectors.reduce((sum, vector) => sum + vector.length, 0);
  const out = new Float64Array(length);
  let at = 0;
  for (const vector of vectors) {
    out.set(vector, at);
    at += vector.length;
  }
  return out;
}

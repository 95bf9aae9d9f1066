/**
 * A projection of rows, and its gradients:
 *
 * ```text
 * Y = X W^T + b    dX = dY W    dW = dY^T X    db = sum over rows of dY
 * ```
 *
 * @module
 */

import { dotOf, EXACT, type Rounding } from "./rounding.ts";

/**
 * Rows, and a matrix.
 *
 * @category Layers
 */
export interface ProjectionProblem {
  /** `[rows, inFeatures]`. */
  readonly input: ArrayLike<number>;
  /** `[outFeatures, inFeatures]`. */
  readonly weight: ArrayLike<number>;
  /** `[outFeatures]`. */
  readonly bias?: ArrayLike<number> | undefined;
  /** Elements of a row of the input. */
  readonly inFeatures: number;
  /** Elements of a row of the output. */
  readonly outFeatures: number;
  /** Float64 by default. */
  readonly round?: Rounding;
}

/**
 * Projects rows.
 *
 * @example One row
 * ```ts
 * import { project } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const output = project({
 *   input: [1, 2],
 *   weight: [3, 4],
 *   inFeatures: 2,
 *   outFeatures: 1,
 * });
 * assertEquals([...output], [11]);
 * ```
 *
 * @category Layers
 */
export function project(problem: ProjectionProblem): Float64Array {
  const { input, weight, bias, inFeatures, outFeatures } = problem;
  const { round = EXACT } = problem;
  const rows = input.length / inFeatures;
  return Float64Array.from({ length: rows * outFeatures }, (_, n) => {
    const row = Math.floor(n / outFeatures);
    const column = n % outFeatures;
    const sum = dotOf(
      { of: input, at: row * inFeatures },
      { of: weight, at: column * inFeatures },
      { length: inFeatures, round },
    );
    return round(sum + (bias?.[column] ?? 0));
  });
}

/**
 * The gradients of {@linkcode project}.
 *
 * @example One row
 * ```ts
 * import { projectBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { weightGradient } = projectBackward({
 *   input: [1, 2],
 *   weight: [3, 4],
 *   inFeatures: 2,
 *   outFeatures: 1,
 *   outputGradient: [10],
 * });
 * assertEquals([...weightGradient], [10, 20]);
 * ```
 *
 * @category Layers
 */
export function projectBackward(
  problem: ProjectionProblem & { readonly outputGradient: ArrayLike<number> },
): {
  readonly inputGradient: Float64Array;
  readonly weightGradient: Float64Array;
  readonly biasGradient: Float64Array;
} {
  const { input, weight, inFeatures, outFeatures, outputGradient } = problem;
  const { round = EXACT } = problem;
  const rows = input.length / inFeatures;
  const columnOf = (n: number) => n % inFeatures;
  const rowOf = (n: number) => Math.floor(n / inFeatures);
  return {
    inputGradient: Float64Array.from(input, (_, n) =>
      dotOf(
        { of: outputGradient, at: rowOf(n) * outFeatures },
        { of: weight, at: columnOf(n), step: inFeatures },
        { length: outFeatures, round },
      )),
    weightGradient: Float64Array.from(weight, (_, n) =>
      dotOf(
        { of: outputGradient, at: rowOf(n), step: outFeatures },
        { of: input, at: columnOf(n), step: inFeatures },
        { length: rows, round },
      )),
    biasGradient: Float64Array.from({ length: outFeatures }, (_, column) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) {
        sum = round(sum + outputGradient[row * outFeatures + column]);
      }
      return sum;
    }),
  };
}

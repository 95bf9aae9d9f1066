/**
 * A projection with a low-rank update (LoRA, Hu et al. 2021), and its gradients:
 *
 * ```text
 * Y = X W^T + b + (alpha / r) (X A^T) B^T
 * ```
 *
 * with A `[r, in]` and B `[out, r]`.
 *
 * @module
 */

import {
  project,
  projectBackward,
  type ProjectionProblem,
} from "./projection.ts";
import { EXACT, type Rounding } from "./rounding.ts";

/**
 * Rows, a matrix, and its update.
 *
 * @category Layers
 */
export interface LoraProblem extends ProjectionProblem {
  /** `[rank, inFeatures]`. */
  readonly a: ArrayLike<number>;
  /** `[outFeatures, rank]`. */
  readonly b: ArrayLike<number>;
  /** r. */
  readonly rank: number;
  /** The update's factor, by the rank. */
  readonly alpha: number;
  /** What is kept between products, by its type; all of it by default. */
  readonly store?: Rounding;
}

/** The rows times A, times the factor: `[rows, rank]`. */
function lowOf(problem: LoraProblem): Float64Array {
  const { a, rank, alpha, round = EXACT, store = EXACT } = problem;
  const { input, inFeatures } = problem;
  return project({ input, weight: a, inFeatures, outFeatures: rank, round })
    .map((x) => store(round(alpha / rank * x)));
}

/**
 * Projects rows.
 *
 * @example A weight of zeros, updated
 * ```ts
 * import { loraProject } from "@quire/attention/reference";
 *
 * const output = loraProject({
 *   input: [1, 2],
 *   weight: [0, 0],
 *   a: [1, 1],
 *   b: [5],
 *   rank: 1,
 *   alpha: 2,
 *   inFeatures: 2,
 *   outFeatures: 1,
 * });
 * console.log(output); // 30
 * ```
 *
 * @category Layers
 */
export function loraProject(problem: LoraProblem): Float64Array {
  const { b, rank, outFeatures, round = EXACT, store = EXACT } = problem;
  const update = project({
    input: lowOf(problem),
    weight: b,
    inFeatures: rank,
    outFeatures,
    round,
  });
  return project(problem).map((x, i) => round(store(x) + update[i]));
}

/**
 * The gradients of {@linkcode loraProject} by its rows and by A and B; W and the
 * bias are not trained.
 *
 * @example One row
 * ```ts
 * import { loraProjectBackward } from "@quire/attention/reference";
 *
 * const { bGradient } = loraProjectBackward({
 *   input: [1, 2],
 *   weight: [0, 0],
 *   a: [1, 1],
 *   b: [5],
 *   rank: 1,
 *   alpha: 2,
 *   inFeatures: 2,
 *   outFeatures: 1,
 *   outputGradient: [10],
 * });
 * console.log(bGradient); // 60
 * ```
 *
 * @category Layers
 */
export function loraProjectBackward(
  problem: LoraProblem & { readonly outputGradient: ArrayLike<number> },
): {
  readonly inputGradient: Float64Array;
  readonly aGradient: Float64Array;
  readonly bGradient: Float64Array;
} {
  const { a, b, rank, alpha, outFeatures, outputGradient } = problem;
  const { round = EXACT, store = EXACT } = problem;
  const up = projectBackward({
    input: lowOf(problem),
    weight: b,
    inFeatures: rank,
    outFeatures,
    outputGradient,
    round,
  });
  const down = projectBackward({
    ...problem,
    weight: a,
    outFeatures: rank,
    outputGradient: up.inputGradient.map((x) => round(alpha / rank * store(x))),
  });
  const { inputGradient } = projectBackward(problem);
  return {
    inputGradient: inputGradient.map((x, i) =>
      round(store(x) + down.inputGradient[i])
    ),
    aGradient: down.weightGradient,
    bGradient: up.weightGradient,
  };
}

/**
 * The gradients of attention, as its definition has them. Every backward
 * kernel of this library is held against this file, and this file against
 * finite differences of `attention`.
 *
 * A loss depends on the output `O` and on the log-sum-exp `L`; given are its
 * derivatives with respect to both, `dO` and `dL`. For each row, over the keys
 * that it sees, with `r = scale * <q, k>`, `s = score(r)`, `p = exp(s - L)`,
 * and `z = keep` of dropout (1 without):
 *
 * ```text
 * D  = <dO, O> - dL
 * dv_j += z_j p_j dO
 * ds_j = p_j (z_j <dO, v_j> - D)
 * dr_j = ds_j * d score / d r
 * dq   = scale * sum_j dr_j k_j
 * dk_j += scale * dr_j q
 * ```
 *
 * The sums over queries run over all query heads that read one key and value
 * head. A query that sees no key has gradient 0 and gives none.
 *
 * @module
 */

import { softmaxOf } from "./attention.ts";
import {
  checkLength,
  type Geometry,
  geometryOf,
  type HeadOptions,
  type ReferenceProblem,
  type ScoreFunction,
} from "./problem.ts";
import { checkType } from "../src/core/check.ts";
import { dot, seenScores } from "./scores.ts";

/**
 * What the loss sends back, in every layout.
 *
 * @category Gradients
 */
export interface UpstreamGradients {
  /** `dO`: the loss's derivative with respect to each element of the output. */
  outputGradient: ArrayLike<number>;
  /**
   * `dL`: its derivative with respect to each row's log-sum-exp; default 0. A
   * row without keys has none, whatever stands here.
   */
  lseGradient?: ArrayLike<number> | undefined;
  /**
   * The derivative of `score` with respect to its first argument; needed where
   * there is a `score`.
   */
  scoreDerivative?: ScoreFunction | undefined;
  /**
   * Told, for each pair in the order of rows, the loss's derivative with
   * respect to the score that the softmax takes. What else scores depend on (a
   * table of biases, slopes) has its gradient by the chain rule from there.
   */
  onScoreGradient?: ScoreGradientVisitor | undefined;
}

/**
 * Takes `ds` of one pair: the loss's derivative with respect to its score after
 * the score function, and `product`, what it was before it.
 *
 * @category Gradients
 */
export type ScoreGradientVisitor = (
  gradient: number,
  product: number,
  batch: number,
  head: number,
  query: number,
  key: number,
) => void;

/**
 * A dense problem with what the loss sends back.
 *
 * @category Gradients
 */
export interface BackwardProblem extends ReferenceProblem, UpstreamGradients {}

/**
 * The gradients with respect to the three tensors, in float64.
 *
 * @category Gradients
 */
export interface BackwardResult {
  /** As `query`. */
  queryGradient: Float64Array;
  /** As `key`; 0 for keys that do not exist or that nobody sees. */
  keyGradient: Float64Array;
  /** As `value`; likewise. */
  valueGradient: Float64Array;
}

/**
 * Gradients of dense attention in float64.
 *
 * @param problem The problem of {@linkcode attention}, and the loss's
 * derivatives with respect to its results: `outputGradient`
 * `[batch, queryLength, queryHeads, valueHeadDim]` and `lseGradient`
 * `[batch, queryLength, queryHeads]`.
 * @returns The gradients, each with the shape of its tensor.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Two keys of equal score; the loss is the output
 * ```ts
 * import { attentionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { queryGradient, keyGradient, valueGradient } = attentionBackward({
 *   query: [0],
 *   key: [5, 7],
 *   value: [1, 2],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   outputGradient: [1],
 * });
 * // Half of each value; a quarter more for the score of key 1 than of key 0.
 * assertEquals([...valueGradient], [0.5, 0.5]);
 * assertEquals([...queryGradient], [(7 - 5) / 4]);
 * assertEquals([...keyGradient], [0, 0]);
 * ```
 *
 * @category Gradients
 */
export function attentionBackward(problem: BackwardProblem): BackwardResult {
  const geometry = geometryOf(problem);
  checkUpstream(problem, geometry);
  const { batch, queryLength, queryHeads, headDim } = problem;
  const { query, key, value, outputGradient, lseGradient } = problem;
  const { valueHeadDim, scale } = geometry;
  const queryGradient = new Float64Array(query.length);
  const keyGradient = new Float64Array(key.length);
  const valueGradient = new Float64Array(value.length);

  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const { keys, products, scores } = seenScores(problem, geometry, {
          b,
          i,
          h,
        });
        const { weights, lse } = softmaxOf(scores);
        if (lse === -Infinity) continue;
        const row = geometry.rowAt(b, i, h);
        const position = i + geometry.queryOffset(b);
        const queryAt = geometry.queryAt(b, i, h);
        const outputAt = row * valueHeadDim;
        const keep = (j: number) => problem.keep?.(b, h, position, j) ?? 1;

        // z_j <dO, v_j> of each key, and their mean under the weights.
        const weightGradients = keys.map((j) =>
          keep(j) * dot(
            outputGradient,
            outputAt,
            value,
            geometry.valueAt(b, j, h),
            valueHeadDim,
          )
        );
        let mean = 0;
        weights.forEach((p, n) => mean += p * weightGradients[n]);
        const delta = mean - (lseGradient?.[row] ?? 0);

        keys.forEach((j, n) => {
          const kept = weights[n] * keep(j);
          const valueAt = geometry.valueAt(b, j, h);
          for (let c = 0; c < valueHeadDim; c++) {
            valueGradient[valueAt + c] += kept * outputGradient[outputAt + c];
          }

          const ds = weights[n] * (weightGradients[n] - delta);
          problem.onScoreGradient?.(ds, products[n], b, h, position, j);
          const slope =
            problem.scoreDerivative?.(products[n], b, h, position, j) ?? 1;
          const dr = scale * ds * slope;
          const keyAt = geometry.keyAt(b, j, h);
          for (let t = 0; t < headDim; t++) {
            queryGradient[queryAt + t] += dr * key[keyAt + t];
            keyGradient[keyAt + t] += dr * query[queryAt + t];
          }
        });
      }
    }
  }
  return { queryGradient, keyGradient, valueGradient };
}

/** Checks what the loss sends back. */
function checkUpstream(
  problem: BackwardProblem,
  { rows, valueHeadDim }: Geometry,
): void {
  checkScoreDerivative(problem);
  const { batch, queryLength, queryHeads } = problem;
  checkLength("outputGradient", problem.outputGradient, [
    batch,
    queryLength,
    queryHeads,
    valueHeadDim,
  ]);
  if (problem.lseGradient !== undefined) {
    checkLength("lseGradient", problem.lseGradient, [rows]);
  }
}

/**
 * Checks that a score function comes with its derivative.
 *
 * @throws {TypeError} if it does not.
 */
export function checkScoreDerivative(
  problem: HeadOptions & UpstreamGradients,
): void {
  checkType(
    problem.score === undefined ||
      typeof problem.scoreDerivative === "function",
    "scoreDerivative",
    "must be a function where there is a score",
    problem.scoreDerivative,
  );
}

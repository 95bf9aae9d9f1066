/**
 * The rows of a backward problem with the numbers that error bounds are made
 * of.
 *
 * @module
 */

import { softmaxOf } from "./attention.ts";
import type { BackwardProblem } from "./attention_backward.ts";
import { type Geometry, geometryOf } from "./problem.ts";
import { dot, seenScores } from "./scores.ts";

/** One row and the keys that it sees. */
export interface BackwardRow {
  /** The row of the result. */
  readonly row: number;
  /** Where its query vector starts. */
  readonly queryAt: number;
  /** Where its output starts. */
  readonly outputAt: number;
  /** The keys that it sees. */
  readonly keys: readonly SeenKey[];
  /** `D`: what is taken off the derivative with respect to each weight. */
  readonly delta: number;
}

/** A key that a row sees. */
export interface SeenKey {
  /** Batch entry, query head, the query's position, and its own index. */
  readonly pair: readonly [
    batch: number,
    head: number,
    query: number,
    key: number,
  ];
  /** Where its key vector starts. */
  readonly keyAt: number;
  /** Where its value vector starts. */
  readonly valueAt: number;
  /** `p`, its weight. */
  readonly weight: number;
  /** `z`, by how much dropout multiplies the weight. */
  readonly kept: number;
  /** `z <dO, v>`: the loss's derivative with respect to the weight. */
  readonly weightGradient: number;
  /** Its scaled dot product. */
  readonly product: number;
  /** The score function's slope at any product. */
  slopeAt(product: number): number;
}

/** Calls `visit` for each row that sees a key. */
export function forEachBackwardRow(
  problem: BackwardProblem,
  visit: (row: BackwardRow, geometry: Geometry) => void,
): void {
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads, value, outputGradient } = problem;
  const { valueHeadDim } = geometry;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const at = { b, i, h };
        const { keys, products, scores } = seenScores(problem, geometry, at);
        const { weights, lse } = softmaxOf(scores);
        if (lse === -Infinity) continue;
        const row = geometry.rowAt(b, i, h);
        const position = i + geometry.queryOffset(b);
        const outputAt = row * valueHeadDim;
        const seen = keys.map((j, n): SeenKey => {
          const valueAt = geometry.valueAt(b, j, h);
          const kept = problem.keep?.(b, h, position, j) ?? 1;
          return {
            pair: [b, h, position, j],
            keyAt: geometry.keyAt(b, j, h),
            valueAt,
            weight: weights[n],
            kept,
            weightGradient: kept *
              dot(outputGradient, outputAt, value, valueAt, valueHeadDim),
            product: products[n],
            slopeAt: (product) =>
              problem.scoreDerivative?.(product, b, h, position, j) ?? 1,
          };
        });
        let mean = 0;
        for (const { weight, weightGradient } of seen) {
          mean += weight * weightGradient;
        }
        visit({
          row,
          queryAt: geometry.queryAt(b, i, h),
          outputAt,
          keys: seen,
          delta: mean - (problem.lseGradient?.[row] ?? 0),
        }, geometry);
      }
    }
  }
}

/**
 * Cross entropy of rows of logits:
 *
 * ```text
 * L = log sum exp(x)    loss of a row = L - x_target
 * loss = sum over rows of w loss / sum of w, or the sum alone
 * dx = w (exp(x - L) - [target]) / sum of w
 * ```
 *
 * over rows that have a target.
 *
 * @module
 */

import { EXACT, type Rounding } from "./rounding.ts";

/**
 * Logits, and what they should say.
 *
 * @category Layers
 */
export interface CrossEntropyProblem {
  /** `[rows, width]`. */
  readonly logits: ArrayLike<number>;
  /** The vocabulary. */
  readonly width: number;
  /** `[rows]`; what is no column does not count. */
  readonly targets: ArrayLike<number>;
  /** `[rows]`; ones by default. */
  readonly rowWeights?: ArrayLike<number> | undefined;
  /** The weighted mean, or the weighted sum. */
  readonly reduction: "mean" | "sum";
  /** Float64 by default. */
  readonly round?: Rounding;
}

/** The log-sum-exp of each row, the rows' weights, and what divides the sum. */
function rowsOf(problem: CrossEntropyProblem) {
  const { logits, width, targets, rowWeights, reduction } = problem;
  const { round = EXACT } = problem;
  const weights = Array.from(targets, (target, row) => {
    return target < width ? rowWeights?.[row] ?? 1 : 0;
  });
  const lse = weights.map((_, row) => {
    const own = Array.from(
      { length: width },
      (_, i) => logits[row * width + i],
    );
    const most = own.reduce((a, b) => Math.max(a, b));
    const sum = own.reduce(
      (all, x) => round(all + round(Math.exp(round(x - most)))),
      0,
    );
    return round(most + round(Math.log(sum)));
  });
  const total = weights.reduce((all, w) => round(all + w), 0);
  return {
    lse,
    weights,
    divisor: reduction === "sum" || total === 0 ? 1 : total,
  };
}

/**
 * The loss, and that of each row.
 *
 * @example Two columns that are alike
 * ```ts
 * import { crossEntropy } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { loss } = crossEntropy({
 *   logits: [0, 0],
 *   width: 2,
 *   targets: [1],
 *   reduction: "mean",
 * });
 * assertEquals(loss, Math.log(2));
 * ```
 *
 * @category Layers
 */
export function crossEntropy(problem: CrossEntropyProblem): {
  readonly loss: number;
  readonly rowLosses: readonly number[];
  readonly lse: readonly number[];
} {
  const { logits, width, targets, round = EXACT } = problem;
  const { lse, weights, divisor } = rowsOf(problem);
  const rowLosses = lse.map((l, row) => {
    const target = targets[row];
    return target < width ? round(l - logits[row * width + target]) : 0;
  });
  const sum = rowLosses.reduce(
    (all, loss, row) => round(all + round(weights[row] * loss)),
    0,
  );
  return { loss: round(sum / divisor), rowLosses, lse };
}

/**
 * The gradient of {@linkcode crossEntropy} by its logits.
 *
 * @example The gradients of a row sum to 0
 * ```ts
 * import { crossEntropyBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const gradient = crossEntropyBackward({
 *   logits: [0, 0],
 *   width: 2,
 *   targets: [1],
 *   reduction: "mean",
 * });
 * assertEquals([...gradient], [0.5, -0.5]);
 * ```
 *
 * @category Layers
 */
export function crossEntropyBackward(
  problem: CrossEntropyProblem,
): Float64Array {
  const { logits, width, targets, round = EXACT } = problem;
  const { lse, weights, divisor } = rowsOf(problem);
  return Float64Array.from(logits, (x, n) => {
    const row = Math.floor(n / width);
    const p = round(Math.exp(round(x - lse[row])));
    const off = round(p - (n % width === targets[row] ? 1 : 0));
    return weights[row] === 0 ? 0 : round(round(weights[row] / divisor) * off);
  });
}

/**
 * RMSNorm (Zhang and Sennrich 2019) and l2 normalisation of rows:
 *
 * ```text
 * r = 1 / sqrt(c sum(x^2) + eps)    n = r x    y = n w
 * g = dy w    dx = r (g - c n <g, n>)    dw = sum over rows of dy n
 * ```
 *
 * c is one over the width for RMSNorm, and 1 for the l2 norm, which has no w.
 *
 * @module
 */

import { dotOf, EXACT, type Rounding } from "./rounding.ts";

/**
 * Rows, and how they are normalised.
 *
 * @category Layers
 */
export interface RowNormProblem {
  /** `[rows, width]`. */
  readonly input: ArrayLike<number>;
  /** Elements of a row. */
  readonly width: number;
  /** `[width]`; ones by default. */
  readonly weight?: ArrayLike<number> | undefined;
  /** Whether the mean of squares counts (RMSNorm), or their sum (l2). */
  readonly mean: boolean;
  /** Added to it. */
  readonly eps: number;
  /** Float64 by default. */
  readonly round?: Rounding;
}

/**
 * The gradients of a row norm.
 *
 * @category Layers
 */
export interface RowNormGradients {
  /** `[rows, width]`. */
  readonly inputGradient: Float64Array;
  /** `[width]`. */
  readonly weightGradient: Float64Array;
}

function factorOf(
  { input, width, mean, eps, round = EXACT }: RowNormProblem,
  at: number,
): number {
  const row = { of: input, at };
  const squares = dotOf(row, row, { length: width, round });
  const inner = round(mean ? round(squares / width) : squares);
  return round(1 / round(Math.sqrt(round(inner + eps))));
}

/**
 * Normalises rows.
 *
 * @example Three and four
 * ```ts
 * import { rowNorm } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const output = rowNorm({ input: [3, 4], width: 2, mean: false, eps: 0 });
 * assertEquals([...output], [3 * (1 / 5), 4 * (1 / 5)]);
 * ```
 *
 * @category Layers
 */
export function rowNorm(problem: RowNormProblem): Float64Array {
  const { input, width, weight, round = EXACT } = problem;
  const output = new Float64Array(input.length);
  for (let at = 0; at < input.length; at += width) {
    const r = factorOf(problem, at);
    for (let i = 0; i < width; i++) {
      output[at + i] = round(round(r * input[at + i]) * (weight?.[i] ?? 1));
    }
  }
  return output;
}

/**
 * The gradients of {@linkcode rowNorm}.
 *
 * @example Along an l2-normalised row there is none
 * ```ts
 * import { rowNormBackward } from "@quire/attention/reference";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { inputGradient } = rowNormBackward({
 *   input: [3, 4],
 *   width: 2,
 *   mean: false,
 *   eps: 0,
 *   outputGradient: [3, 4],
 * });
 * assertAlmostEquals(inputGradient[0], 0, 1e-12);
 * ```
 *
 * @category Layers
 */
export function rowNormBackward(
  problem: RowNormProblem & { readonly outputGradient: ArrayLike<number> },
): RowNormGradients {
  const { input, width, weight, mean, outputGradient, round = EXACT } = problem;
  const inputGradient = new Float64Array(input.length);
  const weightGradient = new Float64Array(width);
  const c = mean ? round(1 / width) : 1;
  for (let at = 0; at < input.length; at += width) {
    const r = factorOf(problem, at);
    const n = Array.from({ length: width }, (_, i) => round(r * input[at + i]));
    const g = n.map((_, i) =>
      round(outputGradient[at + i] * (weight?.[i] ?? 1))
    );
    const along = dotOf({ of: g, at: 0 }, { of: n, at: 0 }, {
      length: width,
      round,
    });
    for (let i = 0; i < width; i++) {
      const across = round(g[i] - round(round(c * n[i]) * along));
      inputGradient[at + i] = round(r * across);
      weightGradient[i] = round(
        weightGradient[i] + round(outputGradient[at + i] * n[i]),
      );
    }
  }
  return { inputGradient, weightGradient };
}

/**
 * Gates, element by element:
 *
 * ```text
 * sigmoid      y = s(x)                    dx = dy s(x) s(-x)
 * log gate     y = log s(x) / normalizer   dx = dy s(-x) / normalizer
 * swish gate   y = x g s(g)                dx = dy g s(g)
 *                                          dg = dy x s(g) (1 + g s(-g))
 * ```
 *
 * @module
 */

import { EXACT, type Rounding } from "./rounding.ts";

/** s: the logistic function, without an exponent above 0. */
export function logistic(x: number, round: Rounding = EXACT): number {
  const e = round(Math.exp(-Math.abs(x)));
  return round((x >= 0 ? 1 : e) / round(1 + e));
}

/** The logarithm of {@linkcode logistic}. */
function logLogistic(x: number, round: Rounding): number {
  const e = round(Math.exp(-Math.abs(x)));
  return round(Math.min(x, 0) - round(Math.log1p(e)));
}

/** x s(x). */
export function silu(x: number, round: Rounding = EXACT): number {
  return round(x * logistic(x, round));
}

/** Its derivative. */
export function siluSlope(x: number, round: Rounding = EXACT): number {
  const inner = round(1 + round(x * logistic(-x, round)));
  return round(logistic(x, round) * inner);
}

/**
 * A gate, and what it is applied to.
 *
 * @category Layers
 */
export interface GateProblem {
  /** Which gate. */
  readonly name: "sigmoid" | "log_gate" | "swish_gate";
  /** x. */
  readonly input: ArrayLike<number>;
  /** g, of a swish gate. */
  readonly gate?: ArrayLike<number>;
  /** Of a log gate. */
  readonly normalizer?: number;
  /** Float64 by default. */
  readonly round?: Rounding;
}

/**
 * Applies a gate.
 *
 * @example A gate that halves
 * ```ts
 * import { gate } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...gate({ name: "sigmoid", input: [0] })], [0.5]);
 * ```
 *
 * @category Layers
 */
export function gate(problem: GateProblem): Float64Array {
  const { name, input, normalizer = 16, round = EXACT } = problem;
  return Float64Array.from(input, (x, i) => {
    if (name === "sigmoid") return logistic(x, round);
    if (name === "log_gate") return round(logLogistic(x, round) / normalizer);
    return round(x * silu(problem.gate![i], round));
  });
}

/**
 * The gradients of {@linkcode gate}: by its input, and by a swish gate's gate.
 *
 * @example A quarter
 * ```ts
 * import { gateBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { inputGradient } = gateBackward({
 *   name: "sigmoid",
 *   input: [0],
 *   outputGradient: [1],
 * });
 * assertEquals([...inputGradient], [0.25]);
 * ```
 *
 * @category Layers
 */
export function gateBackward(
  problem: GateProblem & { readonly outputGradient: ArrayLike<number> },
): {
  readonly inputGradient: Float64Array;
  readonly gateGradient: Float64Array;
} {
  const { name, input, outputGradient, normalizer = 16 } = problem;
  const { round = EXACT } = problem;
  const inputGradient = Float64Array.from(input, (x, i) => {
    const dy = outputGradient[i];
    if (name === "swish_gate") return round(dy * silu(problem.gate![i], round));
    const off = round(dy * logistic(-x, round));
    return round(
      name === "sigmoid" ? off * logistic(x, round) : off / normalizer,
    );
  });
  const gateGradient = Float64Array.from(problem.gate ?? [], (g, i) => {
    return round(round(outputGradient[i] * input[i]) * siluSlope(g, round));
  });
  return { inputGradient, gateGradient };
}

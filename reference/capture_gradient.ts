/**
 * Gradients with respect to what score mods capture, in float64: the chain rule
 * from the gradient of each score.
 *
 * @module
 */

import {
  capturedShape,
  evaluatedTerms,
} from "../src/mods/derivative/capture_derivative.ts";
import type { CapturedFloats } from "../src/mods/mod.ts";
import type { ScoreMod } from "../src/mods/mod.ts";
import type { ScoreGradientVisitor } from "./attention_backward.ts";

/**
 * A gradient that adds up while a backward runs.
 *
 * @category Gradients
 */
export interface CaptureGradient {
  /** Of each element, in the order in which they lie. */
  readonly gradient: Float64Array;
  /** What a backward problem takes as `onScoreGradient`. */
  readonly visit: ScoreGradientVisitor;
}

/**
 * The gradient with respect to captured floats.
 *
 * @param mods The score mods whose {@linkcode scoreFunction} is the problem's
 * `score`.
 * @param captured What `capture()` gave, or the array that a mod was made of.
 * @throws {TypeError} if no mod captures it, it has no floats, or an operation
 * in a mod has no derivative.
 *
 * @example Two keys of one query; the loss is the output
 * ```ts
 * import {
 *   attentionBackward,
 *   captureGradient,
 * } from "@quire/attention/reference";
 * import {
 *   relativeBias,
 *   scoreDerivative,
 *   scoreFunction,
 * } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const table = Float32Array.of(0, 0, 0); // one before, at, one after
 * const mods = [relativeBias(table, [1, 3])];
 * const { gradient, visit } = captureGradient(mods, table);
 * attentionBackward({
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
 *   onScoreGradient: visit,
 * });
 * assertEquals([...gradient], [-0.25, 0.25, 0]);
 * ```
 *
 * @category Gradients
 */
export function captureGradient(
  mods: readonly ScoreMod[],
  captured: CapturedFloats,
): CaptureGradient {
  const terms = evaluatedTerms(mods, captured);
  const elements = capturedShape(captured).reduce((n, size) => n * size, 1);
  const gradient = new Float64Array(elements);
  return {
    gradient,
    visit: (ds, score, ...at) => {
      for (const { place, slope } of terms) {
        gradient[place(score, ...at)] += ds * slope(score, ...at);
      }
    },
  };
}

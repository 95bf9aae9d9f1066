/**
 * The working bound: how far a float32 implementation may be from float64.
 * With `u = 2^-24`, head dim `d`, key tiles of `Bc` keys, `Tc` of them, and
 * `n = Tc + ceil(log2 Bc) + 2` roundings on the way of a sum:
 *
 * ```text
 * |L - L64| <= u (4 + sqrt(n) + (1 + log2 d) smax)
 * |O - O64| <= u (4 + sqrt(n) + (1 + log2 d) smax) max|v|
 * ```
 *
 * times the gate of the implementation. Roundings mostly cancel, hence the
 * square root: no proof, but a thousand times tighter than what can be proved,
 * and so it finds real faults.
 *
 * `smax` is the largest score, or the largest that scores would be had the
 * terms of their dot products not cancelled: roundings are as large as the
 * terms. The two differ on tiny problems alone, where no score shows the size
 * that scores have.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import { geometryOf, type ReferenceProblem } from "./problem.ts";
import { dot, seenScores } from "./scores.ts";

/** Unit roundoff of float32. */
export const ROUNDOFF = 2 ** -24;

/**
 * How many times the working bound an implementation may be off.
 *
 * @category Error bounds
 */
export interface Gate {
  /** Factor on the output's bound. */
  readonly output: number;
  /** Factor on the log-sum-exp's bound. */
  readonly lse: number;
}

/**
 * The gates: the shadow's, and a WGSL kernel's, whose `exp` alone may be off
 * by `3 + 2|x|` units in the last place.
 *
 * @category Error bounds
 */
export const GATES: { readonly shadow: Gate; readonly wgsl: Gate } = {
  shadow: { output: 1, lse: 2 },
  wgsl: { output: 4, lse: 4 },
};

/**
 * The working bound of one problem.
 *
 * @category Error bounds
 */
export interface ErrorBound {
  /** Largest error of an output element. */
  readonly output: number;
  /** Largest error of a log-sum-exp. */
  readonly lse: number;
}

/**
 * The working bound of a problem in float32.
 *
 * @param problem The problem, as the implementation sees it (inputs rounded).
 * @param options Keys in one tile, and the gate; default {@linkcode GATES}'s
 * shadow.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range.
 *
 * @example What a kernel may be off by
 * ```ts
 * import { attention, errorBound, GATES } from "@quire/attention/reference";
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
 * };
 * const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl });
 * const { output } = attention(problem);
 * const inFloat32 = output.map(Math.fround);
 * assert(output.every((x, i) => Math.abs(x - inFloat32[i]) <= bound.output));
 * ```
 *
 * @category Error bounds
 */
export function errorBound(
  problem: ReferenceProblem,
  { keys, gate = GATES.shadow }: { keys: number; gate?: Gate },
): ErrorBound {
  checkInteger("keys", keys, 1);
  const { largestScore, largestValue } = largestOf(problem);
  const n = roundings(problem.keyLength, keys);
  const bound = ROUNDOFF *
    (4 + Math.sqrt(n) + (1 + Math.log2(problem.headDim)) * largestScore);
  return {
    output: gate.output * bound * largestValue,
    lse: gate.lse * bound,
  };
}

/** Roundings on the way of a sum of `length` terms, `tile` at a time. */
export function roundings(length: number, tile: number): number {
  return Math.ceil(length / tile) + Math.ceil(Math.log2(tile)) + 2;
}

/**
 * The largest score and value element, by magnitude, that any row sees; a value
 * times what dropout makes of its weight.
 */
export function largestOf(
  problem: ReferenceProblem,
): { largestScore: number; largestValue: number } {
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads, query, key, value } = problem;
  const { headDim, score } = problem;
  // <q^2, k^2> is the sum of the squared terms of <q, k>.
  const query2 = Float64Array.from(query, (x) => x * x);
  const key2 = Float64Array.from(key, (x) => x * x);
  let largestScore = 0;
  let largestValue = 0;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queryLength; i++) {
      for (let h = 0; h < queryHeads; h++) {
        const position = i + geometry.queryOffset(b);
        const seen = seenScores(problem, geometry, { b, i, h });
        const queryAt = geometry.queryAt(b, i, h);
        seen.keys.forEach((j, n) => {
          const keyAt = geometry.keyAt(b, j, h);
          const squares = dot(query2, queryAt, key2, keyAt, headDim);
          const terms = Math.abs(geometry.scale) * Math.sqrt(squares);
          // By how many roundoffs a roundoff of the terms moves the score.
          const moved = seen.products[n] + ROUNDOFF * terms;
          const uncancelled = score
            ? (score(moved, b, h, position, j) - seen.scores[n]) / ROUNDOFF
            : terms;
          largestScore = Math.max(
            largestScore,
            Math.abs(seen.scores[n]),
            Math.abs(uncancelled),
          );
          const valueAt = geometry.valueAt(b, j, h);
          const kept = problem.keep?.(b, h, position, j) ?? 1;
          for (let c = 0; c < geometry.valueHeadDim; c++) {
            const element = kept * Math.abs(value[valueAt + c]);
            largestValue = Math.max(largestValue, element);
          }
        });
      }
    }
  }
  return { largestScore, largestValue };
}

/**
 * The working bound of linear attention's gradients: how far a float32 backward,
 * by the recurrence or by chunks, may be from float64.
 *
 * Roundings on the way are taken for changes of what goes in: each number by a
 * few roundoffs `u` of itself, `u sqrt(n)` with the `n` of the forward's bound,
 * and each log gate by the rounding of `G_t`, the sum since its chunk began,
 * `u (1 + |g_t| + |G_t|)`. So the problem is changed so, at random and a few times,
 * and by how much float64's gradients move, at most, is what they may be off by;
 * times four, as the worst of a few samples is not the worst that there is, and
 * times the gate of the implementation. As with the forward's bound, a
 * recurrence is far more accurate than chunks where strong gates stand beside
 * weak ones, and twice the error of the naive version is no bound for chunks.
 *
 * Log gates have one more part. Chunks have their gradient as a sum of pairs,
 * `q dq - k dk`, in which those on one side of a gate cancel, however small the
 * rest is: it may be off by `u sqrt(n)` of the length of the vector of terms.
 * And what tokens add to the state's gradient, a delta rule may take back again
 * to nearly nothing: the initial state's has `u sqrt(n)` of the largest of it.
 *
 * No proof, as with forward's.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import { ROUNDOFF } from "../error_bound.ts";
import type { Precision } from "../naive.ts";
import {
  linearAttentionBackward,
  type LinearBackwardProblem,
  type LinearGradients,
} from "./backward.ts";
import { LINEAR_GATES } from "./error_bound.ts";
import { type LinearGeometry, linearGeometryOf } from "./problem.ts";
import { recurrentLinearAttention } from "./recurrent.ts";

/**
 * The working bound of one problem's gradients: the largest error of an element
 * of each.
 *
 * @category Linear attention
 */
export type LinearGradientBound = Readonly<
  Record<keyof LinearGradients<Float64Array>, number>
>;

/** How often a problem is changed. */
const SAMPLES = 4;

/** How much more than the largest change of a gradient is allowed. */
const MARGIN = 4;

/** The smallest normal float32; WGSL may take smaller ones for 0. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * The working bound of the gradients of linear attention in float32.
 *
 * @param problem The problem, as the implementation sees it (inputs rounded).
 * @param options Tokens in one chunk (1 for a recurrent implementation), the
 * gate (default {@linkcode LINEAR_GATES}'s shadow), and how the gradients of
 * query, key and value are stored (default `"f32"`).
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range.
 *
 * @example What gradients in float32 may be off by
 * ```ts
 * import {
 *   linearAttentionBackward,
 *   linearGradientBound,
 *   naiveLinearAttentionBackward,
 * } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const problem = {
 *   query: [1, 0.3],
 *   key: [0.7, 1],
 *   value: [0.1, 3],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 *   outputGradient: [1, -1],
 * };
 * const bound = linearGradientBound(problem, { chunk: 1 });
 * const naive = naiveLinearAttentionBackward({ ...problem, precision: "f32" });
 * const { keyGradient } = linearAttentionBackward(problem);
 * assert(
 *   keyGradient.every((x, i) =>
 *     Math.abs(x - naive.keyGradient[i]) <= bound.keyGradient
 *   ),
 * );
 * ```
 *
 * @category Linear attention
 */
export function linearGradientBound(
  problem: LinearBackwardProblem,
  { chunk, gate = LINEAR_GATES.shadow, stored = "f32" }: {
    chunk: number;
    gate?: number;
    stored?: Precision;
  },
): LinearGradientBound {
  checkInteger("chunk", chunk, 1);
  const geometry = linearGeometryOf(problem);
  const n = 4 + chunk + problem.headDim;
  const exact = linearAttentionBackward(problem);
  const moved = new Map<keyof LinearGradientBound, number>();
  for (let sample = 0; sample < SAMPLES; sample++) {
    const changed = changedProblem(problem, geometry, { chunk, n, sample });
    const gradients = linearAttentionBackward(changed);
    const own = { ...gradients, decayGradient: exact.decayGradient };
    if (problem.decay) {
      own.decayGradient = gatheredGates(
        problem,
        geometry,
        gradients.decayGradient,
      );
    }
    for (const name of NAMES) {
      let most = moved.get(name) ?? 0;
      exact[name].forEach((x, at) =>
        most = Math.max(most, Math.abs(own[name][at] - x))
      );
      moved.set(name, most);
    }
  }
  const cancelled = problem.decay
    ? ROUNDOFF * Math.sqrt(n) *
      largestTerms(problem, geometry, { exact, chunk })
    : 0;
  const takenBack = geometry.delta
    ? ROUNDOFF * Math.sqrt(n) * largestAdded(problem, geometry)
    : 0;
  const boundOf = (name: keyof LinearGradientBound) => {
    let largest = 0;
    for (const x of exact[name]) largest = Math.max(largest, Math.abs(x));
    const half = stored === "f16" && VECTORS.includes(name);
    const rounding = half ? 2 ** -11 * largest + 2 ** -25 : 0;
    return rounding + gate *
        (MARGIN * moved.get(name)! + 2 * ROUNDOFF * largest + SMALLEST_NORMAL);
  };
  return {
    queryGradient: boundOf("queryGradient"),
    keyGradient: boundOf("keyGradient"),
    valueGradient: boundOf("valueGradient"),
    decayGradient: boundOf("decayGradient") + gate * cancelled,
    betaGradient: boundOf("betaGradient"),
    initialStateGradient: boundOf("initialStateGradient") + gate * takenBack,
  };
}

const NAMES = [
  "queryGradient",
  "keyGradient",
  "valueGradient",
  "decayGradient",
  "betaGradient",
  "initialStateGradient",
] as const;

/** Those that are stored as the tensors are. */
const VECTORS: readonly (keyof LinearGradientBound)[] = [
  "queryGradient",
  "keyGradient",
  "valueGradient",
];

/** A problem whose numbers are off by as much as roundings may count for. */
function changedProblem(
  problem: LinearBackwardProblem,
  geometry: LinearGeometry,
  { chunk, n, sample }: { chunk: number; n: number; sample: number },
): LinearBackwardProblem {
  let drawn = 0;
  const random = () => randomAt(++drawn, sample);
  const change = (array: ArrayLike<number>) =>
    Float64Array.from(
      array,
      (x) => x * (1 + ROUNDOFF * Math.sqrt(n) * random()),
    );
  const { beta, initialState, stateGradient } = problem;
  return {
    ...problem,
    query: change(problem.query),
    key: change(problem.key),
    value: change(problem.value),
    outputGradient: change(problem.outputGradient),
    beta: beta && change(beta),
    initialState: initialState && change(initialState),
    stateGradient: stateGradient && change(stateGradient),
    ...(problem.decay
      ? {
        decay: changedGates(problem, geometry, { chunk, random }),
        decayShape: "channel",
      }
      : {}),
  };
}

/** Log gates of each token, value head and channel, with the error of sums. */
function changedGates(
  { decay, decayShape, valueHeads, headDim }: LinearBackwardProblem,
  geometry: LinearGeometry,
  { chunk, random }: { chunk: number; random: () => number },
): Float64Array {
  const gates = new Float64Array(geometry.tokens * valueHeads * headDim);
  const channels = decayShape!.endsWith("channel");
  const constant = decayShape!.startsWith("constant");
  for (const { first, end } of geometry.sequences) {
    for (let s = 0; s < valueHeads; s++) {
      const sums = new Float64Array(headDim);
      // Gates that are constant err by the same each time.
      const always = sums.map(random);
      for (let token = first; token < end; token++) {
        if ((token - first) % chunk === 0) sums.fill(0);
        const shared = random();
        for (let t = 0; t < headDim; t++) {
          const gate = decay![geometry.gateAt(token, s, t)];
          sums[t] += gate;
          const own = channels ? random() : shared;
          const error = constant ? always[channels ? t : 0] : own;
          const size = 1 + Math.abs(gate) + Math.abs(sums[t]);
          gates[(token * valueHeads + s) * headDim + t] = Math.min(
            gate + ROUNDOFF * size * error,
            0,
          );
        }
      }
    }
  }
  return gates;
}

/** Gradients of each token's, head's and channel's gate, as gates are given. */
function gatheredGates(
  { decay, valueHeads, headDim }: LinearBackwardProblem,
  geometry: LinearGeometry,
  gradients: Float64Array,
): Float64Array {
  const gathered = new Float64Array(decay!.length);
  gradients.forEach((x, at) => {
    const row = Math.floor(at / headDim);
    const token = Math.floor(row / valueHeads);
    gathered[geometry.gateAt(token, row % valueHeads, at % headDim)] += x;
  });
  return gathered;
}

/** The longest vector of terms that chunks sum to a log gate's gradient. */
function largestTerms(
  problem: LinearBackwardProblem,
  geometry: LinearGeometry,
  { exact, chunk }: { exact: LinearGradients<Float64Array>; chunk: number },
): number {
  const { query, key, decay, valueHeads, headDim, stateGradient } = problem;
  const { queryGradient, keyGradient } = exact;
  const { state } = recurrentLinearAttention(problem);
  const constant = problem.decayShape!.startsWith("constant");
  // Squares, by the gate that they are summed for.
  const squares = new Float64Array(decay!.length);
  let most = 0;
  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      for (let from = first; from < end; from += chunk) {
        const last = Math.min(from + chunk, end) - 1;
        const own = new Map<number, number>();
        const add = (token: number, t: number, square: number) => {
          // A term is in the sum of each token of the chunk before it.
          const times = constant ? (token - from + 1) ** 2 : 1;
          const at = geometry.gateAt(constant ? from : last, s, t);
          own.set(at, (own.get(at) ?? 0) + times * square);
        };
        for (let token = from; token <= last; token++) {
          for (let t = 0; t < headDim; t++) {
            for (const h of geometry.readersOf(s)) {
              const at = geometry.queryAt(token, h) + t;
              add(token, t, (query[at] * queryGradient[at]) ** 2);
            }
            const at = geometry.keyAt(token, s) + t;
            add(token, t, (key[at] * keyGradient[at]) ** 2);
          }
        }
        if (last === end - 1 && stateGradient) {
          const stateAt = geometry.stateAt(n, s);
          for (let at = 0; at < geometry.stateSize; at++) {
            const term = state[stateAt + at] * stateGradient[stateAt + at];
            add(last, Math.floor(at / geometry.valueHeadDim), term ** 2);
          }
        }
        for (const [at, square] of own) {
          if (constant) squares[at] += square;
          else most = Math.max(most, square);
        }
      }
    }
  });
  for (const square of squares) most = Math.max(most, square);
  return Math.sqrt(most);
}

/** The most that an element of the state's gradient has from a token or a loss. */
function largestAdded(
  { query, outputGradient, stateGradient = [] }: LinearBackwardProblem,
  { scale }: LinearGeometry,
): number {
  const largest = (array: ArrayLike<number>) => {
    let most = 0;
    for (let n = 0; n < array.length; n++) {
      most = Math.max(most, Math.abs(array[n]));
    }
    return most;
  };
  return Math.abs(scale) * largest(query) * largest(outputGradient) +
    largest(stateGradient);
}

/**
 * A number in -1.7..1.7 of variance 1: from a fixed sequence without a pattern,
 * so that a bound is the same each time.
 */
function randomAt(index: number, sample: number): number {
  const turn = index * 0.6180339887498949 + index * index * Math.SQRT2 +
    sample * Math.sqrt(7);
  return (2 * (turn - Math.floor(turn)) - 1) * Math.sqrt(3);
}

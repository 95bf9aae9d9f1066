/**
 * The backward kernels' own tile loops in TypeScript, each operation rounded to
 * float32: first a row's `D = <dO, O> - dL`, then, from the output and the
 * log-sum-exp that forward saved, two passes that share no sum:
 *
 * ```text
 * for each query row:  for each tile of `keys` keys:        dQ += dR K
 * for each key:        for each tile of `rows` query rows:  dV += P^T dO
 *                                                           dK += dR^T Q
 * ```
 *
 * with `P = exp(s - L)`, `dR = P (dP - D) * d score / d r`. A tile is summed by
 * itself before it is added, and the scale is applied once, at the end. Rows of
 * a key are those of all query heads that read it, query by query.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import { SENTINEL } from "../src/core/sentinel.ts";
import {
  type BackwardProblem,
  checkScoreDerivative,
} from "./attention_backward.ts";
import { dotFma, fmaF32 } from "./fma.ts";
import { type LowPrecisionResult, roundAll } from "./naive.ts";
import type { LowPrecisionGradients } from "./naive_backward.ts";
import { type Geometry, geometryOf } from "./problem.ts";

/**
 * How the kernels cut the problem, and what they read and write.
 *
 * @category Gradients
 */
export interface ShadowBackwardOptions {
  /** Query rows in one tile of the pass over keys. */
  rows: number;
  /** Keys in one tile of the pass over rows. */
  keys: number;
  /** Storage of inputs and gradients; default `"f32"`. */
  inputs?: "f32" | "f16" | undefined;
  /** What forward saved: its output, as stored, and its log-sum-exp. */
  saved: LowPrecisionResult;
}

const f32 = Math.fround;

/** One pair's part in the gradients. */
interface Pair {
  /** The weight that multiplies the value: `z p`. */
  readonly weight: number;
  /** `dR`, before the scale. */
  readonly slope: number;
}

/**
 * The backward kernels' tile loops in float32.
 *
 * @param problem The problem and what comes back; rounded to `options.inputs`,
 * but for `lseGradient`.
 * @param options Tile sizes, storage, and what forward saved.
 * @throws {TypeError} if an array is not as long as its shape says, or a
 * `score` is without its derivative.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Tiles of one row and one key, in float32
 * ```ts
 * import {
 *   attentionBackward,
 *   shadowAttention,
 *   shadowAttentionBackward,
 * } from "@quire/attention/reference";
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
 *   outputGradient: [1, -1],
 * };
 * const tile = { rows: 1, keys: 1 };
 * const saved = shadowAttention(problem, tile);
 * const shadow = shadowAttentionBackward(problem, { ...tile, saved });
 * const { keyGradient } = attentionBackward(problem);
 * assert(shadow.keyGradient.every((x, i) => Math.abs(x - keyGradient[i]) < 1e-6));
 * ```
 *
 * @category Gradients
 */
export function shadowAttentionBackward(
  problem: BackwardProblem,
  options: ShadowBackwardOptions,
): LowPrecisionGradients {
  const geometry = geometryOf(problem);
  checkScoreDerivative(problem);
  const { rows, keys, inputs = "f32", saved } = options;
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
  const rounded: BackwardProblem = {
    ...problem,
    query: roundAll(inputs, problem.query),
    key: roundAll(inputs, problem.key),
    value: roundAll(inputs, problem.value),
    outputGradient: roundAll(inputs, problem.outputGradient),
  };
  const { batch, queryLength, keyLength, queryHeads, kvHeads } = problem;
  const { headDim } = problem;
  const { valueHeadDim } = geometry;
  const scale = f32(geometry.scale);
  const pair = pairOf(rounded, geometry, saved);
  const queryGradient = new Float32Array(problem.query.length);
  const keyGradient = new Float32Array(problem.key.length);
  const valueGradient = new Float32Array(problem.value.length);

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < queryHeads; h++) {
      for (let i = 0; i < queryLength; i++) {
        const sum = new TiledSum(headDim, keys);
        for (let j = 0; j < keyLength; j++) {
          const { slope } = pair(b, i, h, j);
          if (slope !== 0) {
            sum.add(j, slope, rounded.key, geometry.keyAt(b, j, h));
          }
        }
        queryGradient.set(sum.scaled(scale), geometry.queryAt(b, i, h));
      }
    }
    const group = queryHeads / kvHeads;
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      for (let j = 0; j < keyLength; j++) {
        const keySum = new TiledSum(headDim, rows);
        const valueSum = new TiledSum(valueHeadDim, rows);
        for (let r = 0; r < queryLength * group; r++) {
          const [i, h] = [Math.floor(r / group), kvHead * group + r % group];
          const { weight, slope } = pair(b, i, h, j);
          if (slope !== 0) {
            keySum.add(r, slope, rounded.query, geometry.queryAt(b, i, h));
          }
          if (weight !== 0) {
            const outputAt = geometry.rowAt(b, i, h) * valueHeadDim;
            valueSum.add(r, weight, rounded.outputGradient, outputAt);
          }
        }
        const anyHead = kvHead * group;
        keyGradient.set(keySum.scaled(scale), geometry.keyAt(b, j, anyHead));
        valueGradient.set(valueSum.scaled(1), geometry.valueAt(b, j, anyHead));
      }
    }
  }
  return {
    queryGradient: roundAll(inputs, queryGradient),
    keyGradient: roundAll(inputs, keyGradient),
    valueGradient: roundAll(inputs, valueGradient),
  };
}

/** Recomputes a pair from what forward saved; 0 where the row does not see. */
function pairOf(
  problem: BackwardProblem,
  geometry: Geometry,
  { output, lse }: LowPrecisionResult,
): (b: number, i: number, h: number, j: number) => Pair {
  const { query, key, value, headDim, outputGradient, lseGradient } = problem;
  const { score, mask, keep, scoreDerivative } = problem;
  const { valueHeadDim } = geometry;
  const scale = f32(geometry.scale);
  const none = { weight: 0, slope: 0 };
  return (b, i, h, j) => {
    const row = geometry.rowAt(b, i, h);
    const position = i + geometry.queryOffset(b);
    const hidden = j >= geometry.keyCount(b) || lse[row] === -Infinity ||
      (mask && !mask(b, h, position, j));
    if (hidden) return none;
    const keyAt = geometry.keyAt(b, j, h);
    const queryAt = geometry.queryAt(b, i, h);
    const product = f32(scale * dotFma(query, queryAt, key, keyAt, headDim));
    const s = score ? f32(score(product, b, h, position, j)) : product;
    if (s <= SENTINEL) return none;
    const p = f32(Math.exp(f32(s - lse[row])));

    const outputAt = row * valueHeadDim;
    const delta = f32(
      dotFma(outputGradient, outputAt, output, outputAt, valueHeadDim) -
        f32(lseGradient?.[row] ?? 0),
    );
    const valueAt = geometry.valueAt(b, j, h);
    const product2 = dotFma(
      outputGradient,
      outputAt,
      value,
      valueAt,
      valueHeadDim,
    );
    const kept = f32(keep?.(b, h, position, j) ?? 1);
    const weightGradient = f32(kept * product2);
    const ds = f32(p * f32(weightGradient - delta));
    const derivative = scoreDerivative
      ? f32(scoreDerivative(product, b, h, position, j))
      : 1;
    return { weight: f32(kept * p), slope: f32(ds * derivative) };
  };
}

/** A sum of vectors, `size` of them at a time by themselves. */
class TiledSum {
  readonly #size: number;
  readonly #total: Float32Array;
  readonly #tile: Float32Array;
  #index = 0;

  constructor(length: number, size: number) {
    this.#size = size;
    this.#total = new Float32Array(length);
    this.#tile = new Float32Array(length);
  }

  /** Adds `factor` times the vector at `at`, the `n`-th of the sum. */
  add(n: number, factor: number, array: ArrayLike<number>, at: number): void {
    const index = Math.floor(n / this.#size);
    if (index !== this.#index) this.#flush();
    this.#index = index;
    this.#tile.forEach((x, t) => {
      this.#tile[t] = fmaF32(factor, array[at + t], x);
    });
  }

  /** The sum, times a factor. */
  scaled(factor: number): Float32Array {
    this.#flush();
    return this.#total.map((x) => f32(x * factor));
  }

  #flush(): void {
    this.#tile.forEach((x, t) => {
      this.#total[t] = f32(this.#total[t] + x);
    });
    this.#tile.fill(0);
  }
}

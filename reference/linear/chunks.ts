/**
 * The loop over chunks, in any arithmetic: inside a chunk all is products of
 * matrices, and from chunk to chunk goes a state.
 *
 * A chunk is up to `chunk` tokens of one sequence, counted from its first. With
 * `G_t` the sum of the log gates of the chunk's tokens up to `t`, `h` the state
 * that enters, and `u = v`:
 *
 * ```text
 * A_ts = scale sum_d q_td k_sd exp(G_td - G_sd)      s <= t
 * o_t  = scale (q_t exp(G_t)) h + sum_{s <= t} A_ts u_s
 * h    = exp(G_end) h + sum_s (k_s exp(G_end - G_s)) u_s^T
 * ```
 *
 * A delta rule has `u_t = beta_t r_t` instead. With `L_ts` as `A_ts` but of keys
 * by keys, unscaled and for `s < t` alone, `T = (I + L diag(beta))^-1`, which is
 * unit lower triangular:
 *
 * ```text
 * r = T v - (T (k exp(G))) h
 * ```
 *
 * No exponent is ever positive. `exp(G_t)` and `exp(-G_s)` apart would overflow
 * under strong decay; so pairs in different sub-chunks meet at the first row
 * `n` of the later one, `(q_t exp(G_t - G_n)) (k_s exp(G_n - G_s))`, and pairs
 * within a sub-chunk have their difference element by element. Where all
 * channels share a gate it goes on the pair.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import {
  type LinearAttentionProblem,
  type LinearAttentionResult,
  type LinearGeometry,
  vectorAt,
} from "./problem.ts";
import { initialStates } from "./recurrent.ts";

/**
 * How sequences are cut.
 *
 * @category Linear attention
 */
export interface LinearChunkOptions {
  /** Most tokens of a chunk. */
  chunk: number;
  /** Most tokens of a sub-chunk; default the whole chunk. */
  subChunk?: number | undefined;
}

/** What numbers a loop computes with. */
export interface Arithmetic {
  /** Rounds the result of one operation. */
  round(x: number): number;
  /** `a * b + c`, rounded once. */
  fma(a: number, b: number, c: number): number;
  /** The lowest log gate; what is below has the same exponential, 0. */
  readonly lowestGate: number;
}

/** A matrix, row by row. */
export type Matrix = readonly Float64Array[];

/** Everything the loop needs, in one place. */
export interface Run {
  readonly problem: LinearAttentionProblem;
  readonly geometry: LinearGeometry;
  readonly chunk: number;
  readonly subChunk: number;
  readonly arithmetic: Arithmetic;
}

/** The tokens of one chunk and what they bring along, for one value head. */
export interface Chunk {
  readonly first: number;
  readonly count: number;
  readonly s: number;
  /** `k`. */
  readonly keys: Matrix;
  /** `G`. */
  readonly sums: Matrix;
}

/**
 * The loop over chunks.
 *
 * @throws {RangeError} if a chunk has no token.
 */
export function runChunks(
  problem: LinearAttentionProblem,
  geometry: LinearGeometry,
  options: LinearChunkOptions & { readonly arithmetic: Arithmetic },
): LinearAttentionResult {
  const run = runOf(problem, geometry, options);
  const { chunk } = run;
  const { headDim, valueHeads } = problem;
  const { valueHeadDim } = geometry;
  const output = new Float64Array(
    geometry.tokens * geometry.outputHeads * valueHeadDim,
  );
  const states = initialStates(problem, geometry, Float64Array);

  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      const state = rowsAt(states, headDim, (t) => ({
        at: stateAt + t * valueHeadDim,
        length: valueHeadDim,
      }));
      for (let from = first; from < end; from += chunk) {
        const part = chunkOf(run, { first: from, end, s });
        const { updates } = updatesOf(run, part, state);
        for (const h of geometry.readersOf(s)) {
          outputsOf(run, part, { h, state, updates }).forEach((row, t) => {
            output.set(row, geometry.outputAt(from + t, h));
          });
        }
        passOn(run, part, { state, updates });
      }
      state.forEach((row, t) => states.set(row, stateAt + t * valueHeadDim));
    }
  });
  return { output, state: states };
}

/** Checks how sequences are cut. */
export function runOf(
  problem: LinearAttentionProblem,
  geometry: LinearGeometry,
  { chunk, subChunk = chunk, arithmetic }: LinearChunkOptions & {
    readonly arithmetic: Arithmetic;
  },
): Run {
  checkInteger("chunk", chunk, 1);
  checkInteger("subChunk", subChunk, 1);
  return { problem, geometry, chunk, subChunk, arithmetic };
}

/** The chunk that begins at a token, of a sequence up to `end`. */
export function chunkOf(
  { problem, geometry, arithmetic, chunk }: Run,
  { first, end, s }: { first: number; end: number; s: number },
): Chunk {
  const { key, headDim, decay } = problem;
  const count = Math.min(chunk, end - first);
  const keys = rowsAt(key, count, (t) => ({
    at: geometry.keyAt(first + t, s),
    length: headDim,
  }));
  const sums: Float64Array[] = [];
  for (let t = 0; t < count; t++) {
    const before = sums[t - 1] ?? new Float64Array(headDim);
    sums.push(before.map((sum, d) => {
      const gate = decay?.[geometry.gateAt(first + t, s, d)] ?? 0;
      return arithmetic.round(sum + Math.max(gate, arithmetic.lowestGate));
    }));
  }
  return { first, count, s, keys, sums };
}

/** `u` of each token of a chunk, and of a delta rule what it comes from. */
export interface Updates {
  readonly updates: Matrix;
  readonly delta?: {
    /** `beta` of each token. */
    readonly betas: readonly number[];
    /** `r`. */
    readonly residuals: Matrix;
    /** `L`; what is not below its diagonal is not to be used. */
    readonly scores: Matrix;
    /** `T`. */
    readonly inverse: Matrix;
  };
}

/** The updates of a chunk's tokens. */
export function updatesOf(
  run: Run,
  { first, count, s, keys, sums }: Chunk,
  state: Matrix,
): Updates {
  const { problem: { value, beta }, geometry, arithmetic } = run;
  const { round } = arithmetic;
  const values = rowsAt(value, count, (t) => ({
    at: geometry.valueAt(first + t, s),
    length: geometry.valueHeadDim,
  }));
  if (!geometry.delta) return { updates: values };

  const betas = keys.map((_, t) => beta![geometry.betaAt(first + t, s)]);
  const scores = scoresOf(run, keys, { keys, sums });
  const inverse = inverseOf(run, scores, betas);
  const decayed = keys.map((k, t) =>
    k.map((x, d) => round(x * exp(run, sums[t][d])))
  );
  const ownPart = product(run, inverse, values);
  const recalled = product(run, product(run, inverse, decayed), state);
  const residuals = ownPart.map((row, t) =>
    row.map((x, c) => round(x - recalled[t][c]))
  );
  const updates = residuals.map((row, t) =>
    row.map((r) => round(betas[t] * r))
  );
  return { updates, delta: { betas, residuals, scores, inverse } };
}

/**
 * `T = (I + L diag(beta))^-1` by forward substitution, row by row; of `L` what
 * is below the diagonal.
 */
export function inverseOf(
  { arithmetic }: Run,
  scores: Matrix,
  betas: readonly number[],
): Matrix {
  const { round, fma } = arithmetic;
  const inverse: Float64Array[] = [];
  for (let t = 0; t < scores.length; t++) {
    const row = new Float64Array(scores.length);
    row[t] = 1;
    for (let s = 0; s < t; s++) {
      const weight = -round(scores[t][s] * betas[s]);
      for (let c = 0; c <= s; c++) row[c] = fma(weight, inverse[s][c], row[c]);
    }
    inverse.push(row);
  }
  return inverse;
}

/** The outputs of a chunk's tokens for output head `h`. */
function outputsOf(
  run: Run,
  { first, count, keys, sums }: Chunk,
  { h, state, updates }: { h: number; state: Matrix; updates: Matrix },
): Matrix {
  const { problem: { query, headDim }, geometry, arithmetic } = run;
  const { round } = arithmetic;
  const queries = rowsAt(query, count, (t) => ({
    at: geometry.queryAt(first + t, h),
    length: headDim,
  }));
  const scale = round(geometry.scale);
  const scores = scoresOf(run, queries, { keys, sums, scale });
  const decayed = queries.map((q, t) =>
    q.map((x, d) => round(scale * round(x * exp(run, sums[t][d]))))
  );
  return product(run, scores, updates, product(run, decayed, state));
}

/** Changes a state as a chunk's tokens say. */
export function passOn(
  run: Run,
  { count, keys, sums }: Chunk,
  { state, updates }: { state: Matrix; updates: Matrix },
): void {
  const { round, fma } = run.arithmetic;
  const end = sums[count - 1];
  state.forEach((row, d) => {
    // What is left of each token's key at the end of the chunk.
    const left = Float64Array.from(
      keys,
      (k, t) => round(k[d] * exp(run, round(end[d] - sums[t][d]))),
    );
    const [own] = product(run, [left], updates);
    const decay = exp(run, end[d]);
    row.forEach((h, c) => row[c] = fma(decay, h, own[c]));
  });
}

/**
 * `scale * sum_d x_td k_sd exp(G_td - G_sd)` of each row `t` of `left` and each
 * token `s` up to it; 0 after it.
 */
export function scoresOf(
  run: Run,
  left: Matrix,
  { keys, sums, scale = 1 }: { keys: Matrix; sums: Matrix; scale?: number },
): Matrix {
  const { problem: { decayShape }, arithmetic: { round, fma } } = run;
  const channels = decayShape?.endsWith("channel");
  const between = (t: number, s: number, d: number) =>
    exp(run, round(sums[t][d] - sums[s][d]));
  return left.map((x, t) => {
    const row = new Float64Array(left.length);
    const reference = Math.floor(t / run.subChunk) * run.subChunk;
    for (let s = 0; s <= t; s++) {
      const k = keys[s];
      let sum = 0;
      if (!channels) {
        x.forEach((_, d) => sum = fma(x[d], k[d], sum));
        row[s] = round(round(scale * between(t, s, 0)) * sum);
        continue;
      }
      x.forEach((_, d) => {
        sum = s >= reference
          ? fma(x[d], round(k[d] * between(t, s, d)), sum)
          : fma(
            round(x[d] * between(t, reference, d)),
            round(k[d] * between(reference, s, d)),
            sum,
          );
      });
      row[s] = round(scale * sum);
    }
    return row;
  });
}

/** `before + left right`, each element a chain of `fma` along its depth. */
export function product(
  { arithmetic: { fma } }: Run,
  left: Matrix,
  right: Matrix,
  before?: Matrix,
): Matrix {
  const columns = right[0].length;
  return left.map((row, r) => {
    const sums = before ? before[r].slice() : new Float64Array(columns);
    right.forEach((other, k) => {
      for (let c = 0; c < columns; c++) {
        sums[c] = fma(row[k], other[c], sums[c]);
      }
    });
    return sums;
  });
}

export function exp({ arithmetic }: Run, x: number): number {
  return arithmetic.round(Math.exp(x));
}

/** `count` rows of an array, each from where it starts. */
export function rowsAt(
  array: ArrayLike<number>,
  count: number,
  placeOf: (row: number) => { at: number; length: number },
): Matrix {
  return Array.from({ length: count }, (_, row) => {
    const { at, length } = placeOf(row);
    return vectorAt(array, at, length);
  });
}

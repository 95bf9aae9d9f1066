/**
 * The gradients of linear attention chunk by chunk, in any arithmetic: what
 * backward kernels do. The names are those of `chunks.ts`; `D` is the derivative
 * with respect to the state that a chunk hands on.
 *
 * Each output head is a stream of rows `q` that read the state with a factor
 * `scale`, and of what comes back for them, `do`. A delta rule has one more:
 * rows `k` that read the state before their own token has changed it, for which
 * `p = -dr` comes back. Over all streams, with `<=` or, of that one, `<`:
 *
 * ```text
 * P_ts = <do_t, u_s>                                   s <= t
 * dq_t = scale (exp(G_t) (h do_t) + sum_{s <= t} P_ts exp(G_t - G_s) k_s)
 * dk_s = exp(G_end - G_s) (D u_s) + scale sum_{t >= s} P_ts exp(G_t - G_s) q_t
 * du_s = D^T (exp(G_end - G_s) k_s) + sum_{t >= s} A_ts do_t
 * D    = exp(G_end) D + scale sum_t (exp(G_t) q_t) do_t^T
 * ```
 *
 * A gate weighs what was written before it and is read after it: what leaves the
 * chunk, what goes through it, and pairs within it,
 *
 * ```text
 * dg_t = sum_{s < t} k_s exp(G_end - G_s) (D u_s) + exp(G_end) sum_e h D
 *      + sum_{s >= t} (q_s dq'_s - k_s dk'_s)
 * ```
 *
 * where `dq'` and `dk'` lack a token's pair with itself, and `dk'` what leaves:
 * both would be put in to be taken away again, and leave their rounding errors.
 *
 * Without a delta rule `dv = du`. With one, `du` of the outputs' streams gives
 *
 * ```text
 * dr = T^T (beta du)      dv = dr      du -= L^T dr      dbeta = <du, r>
 * ```
 *
 * and what the stream of keys gives as `dq` is one more part of `dk`.
 *
 * @module
 */

import type { LinearBackwardProblem, LinearGradients } from "./backward.ts";
import {
  type Arithmetic,
  type Chunk,
  chunkOf,
  exp,
  type LinearChunkOptions,
  type Matrix,
  passOn,
  product,
  rowsAt,
  type Run,
  runOf,
  scoresOf,
  type Updates,
  updatesOf,
} from "./chunks.ts";
import type { LinearGeometry } from "./problem.ts";
import { initialStates } from "./recurrent.ts";

/** Rows that read states, and what comes back for them. */
interface Stream {
  /** `q`. */
  readonly left: Matrix;
  /** `do`. */
  readonly upstream: Matrix;
  readonly scale: number;
  /** Whether a row reads the state before its own token. */
  readonly strict: boolean;
  /** Adds to the gradient of one row's element. */
  readonly give: (t: number, d: number, gradient: number) => void;
}

/** A chunk as the way back finds it. */
interface Passed {
  readonly part: Chunk;
  /** The state that it found. */
  readonly before: Matrix;
  readonly own: Updates;
}

/**
 * The gradients chunk by chunk.
 *
 * @throws {RangeError} if a chunk has no token.
 */
export function runChunksBackward(
  problem: LinearBackwardProblem,
  geometry: LinearGeometry,
  options: LinearChunkOptions & { readonly arithmetic: Arithmetic },
): LinearGradients<Float64Array> {
  const run = runOf(problem, geometry, options);
  const { query, key, value, decay, beta, headDim, stateGradient } = problem;
  const { valueHeadDim } = geometry;
  const states = initialStates(problem, geometry, Float64Array);
  const gradients: LinearGradients<Float64Array> = {
    queryGradient: new Float64Array(query.length),
    keyGradient: new Float64Array(key.length),
    valueGradient: new Float64Array(value.length),
    decayGradient: new Float64Array(decay?.length ?? 0),
    betaGradient: new Float64Array(beta?.length ?? 0),
    initialStateGradient: initialStates(
      { ...problem, initialState: stateGradient },
      geometry,
      Float64Array,
    ),
  };

  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < problem.valueHeads; s++) {
      const rowsOf = (array: Float64Array) =>
        rowsAt(array, headDim, (d) => ({
          at: geometry.stateAt(n, s) + d * valueHeadDim,
          length: valueHeadDim,
        }));
      const state = rowsOf(states);
      const passed: Passed[] = [];
      for (let from = first; from < end; from += run.chunk) {
        const part = chunkOf(run, { first: from, end, s });
        const own = updatesOf(run, part, state);
        const before = copied(state);
        passOn(run, part, { state, updates: own.updates });
        passed.push({ part, before, own });
      }
      const D = rowsOf(gradients.initialStateGradient);
      for (const chunk of passed.reverse()) {
        chunkGradients(run, problem, chunk, { D, gradients });
      }
      D.forEach((row, d) => {
        const at = geometry.stateAt(n, s) + d * valueHeadDim;
        gradients.initialStateGradient.set(row, at);
      });
    }
  });
  return gradients;
}

/** Adds the gradients of one chunk, and takes `D` before it. */
function chunkGradients(
  run: Run,
  problem: LinearBackwardProblem,
  { part, before, own }: Passed,
  { D, gradients }: {
    readonly D: Matrix;
    readonly gradients: LinearGradients<Float64Array>;
  },
): void {
  const { geometry, arithmetic: { round, fma } } = run;
  const { first, count, s, keys, sums } = part;
  const { updates } = own;
  const add = (array: Float64Array, at: number, x: number) => {
    array[at] = round(array[at] + x);
  };
  const streams = geometry.readersOf(s).map((h) =>
    outputStream(run, problem, part, { h, gradients })
  );
  const du = updateGradients(run, part, { streams, D });

  const end = sums[count - 1];
  const toEnd = keys.map((_, t) =>
    sums[t].map((sum, d) => exp(run, round(end[d] - sum)))
  );
  const keyGradients = product(run, updates, transposed(D)).map((row, t) =>
    row.map((x, d) => round(toEnd[t][d] * x))
  );
  // k_s exp(G_end - G_s) (D u_s), and q dq' - k dk'.
  const leaving = keys.map((k, t) =>
    k.map((x, d) => round(x * keyGradients[t][d]))
  );
  const gates = keys.map((k) => new Float64Array(k.length));
  const values = (t: number) => geometry.valueAt(first + t, s);
  if (own.delta) {
    const { betas, residuals, scores, inverse } = own.delta;
    const written = du.map((row, t) => row.map((x) => round(betas[t] * x)));
    const dr = product(run, transposed(inverse), written);
    const strict = scores.map((row, t) => row.map((x, c) => c < t ? x : 0));
    const taken = product(run, transposed(strict), dr);
    dr.forEach((row, t) => {
      let sum = 0;
      row.forEach((x, c) => {
        add(gradients.valueGradient, values(t) + c, x);
        const total = round(du[t][c] - taken[t][c]);
        sum = round(sum + round(total * residuals[t][c]));
      });
      add(gradients.betaGradient, geometry.betaAt(first + t, s), sum);
    });
    streams.push({
      left: keys,
      upstream: dr.map((row) => row.map((x) => -x)),
      scale: 1,
      strict: true,
      give: (t, d, x) =>
        add(gradients.keyGradient, geometry.keyAt(first + t, s) + d, x),
    });
  } else {
    du.forEach((row, t) =>
      row.forEach((x, c) => add(gradients.valueGradient, values(t) + c, x))
    );
  }
  const through = D.map((row, d) => {
    const decay = exp(run, end[d]);
    let sum = 0;
    row.forEach((x, c) => {
      row[c] = round(decay * x);
      sum = fma(before[d][c], row[c], sum);
    });
    return sum;
  });
  for (const stream of streams) {
    streamGradients(run, part, stream, {
      before,
      updates,
      D,
      keyGradients,
      gates,
    });
  }
  keyGradients.forEach((row, t) =>
    row.forEach((x, d) => {
      const at = geometry.keyAt(first + t, s) + d;
      add(gradients.keyGradient, at, x);
    })
  );
  if (!geometry.gated) return;
  through.forEach((sum, d) => {
    let left = 0;
    const written = leaving.map((row) => {
      const before = left;
      left = round(left + row[d]);
      return before;
    });
    let read = sum;
    for (let t = count - 1; t >= 0; t--) {
      read = round(read + gates[t][d]);
      const at = geometry.gateAt(first + t, s, d);
      add(gradients.decayGradient, at, round(written[t] + read));
    }
  });
}

/** The stream of output head `h`. */
function outputStream(
  { geometry, arithmetic: { round } }: Run,
  { query, headDim, outputGradient }: LinearBackwardProblem,
  { first, count }: Chunk,
  { h, gradients: { queryGradient } }: {
    readonly h: number;
    readonly gradients: LinearGradients<Float64Array>;
  },
): Stream {
  return {
    left: rowsAt(query, count, (t) => ({
      at: geometry.queryAt(first + t, h),
      length: headDim,
    })),
    upstream: rowsAt(outputGradient, count, (t) => ({
      at: geometry.outputAt(first + t, h),
      length: geometry.valueHeadDim,
    })),
    scale: round(geometry.scale),
    strict: false,
    give: (t, d, x) => {
      const at = geometry.queryAt(first + t, h) + d;
      queryGradient[at] = round(queryGradient[at] + x);
    },
  };
}

/** `du` of each token, by the states that follow and by the streams' rows. */
function updateGradients(
  run: Run,
  { count, keys, sums }: Chunk,
  { streams, D }: { readonly streams: readonly Stream[]; readonly D: Matrix },
): Matrix {
  const { round } = run.arithmetic;
  const end = sums[count - 1];
  const decayed = keys.map((k, t) =>
    k.map((x, d) => round(x * exp(run, round(end[d] - sums[t][d]))))
  );
  return streams.reduce((du, { left, upstream, scale }) => {
    const scores = scoresOf(run, left, { keys, sums, scale });
    return product(run, transposed(scores), upstream, du);
  }, product(run, decayed, D));
}

/** Adds what one stream gives to its rows, to keys, to `D` and to gates. */
function streamGradients(
  run: Run,
  { keys, sums }: Chunk,
  { left, upstream, scale, strict, give }: Stream,
  { before, updates, D, keyGradients, gates }: {
    readonly before: Matrix;
    readonly updates: Matrix;
    readonly D: Matrix;
    readonly keyGradients: Matrix;
    readonly gates: Matrix;
  },
): void {
  const { round, fma } = run.arithmetic;
  const pairs = product(run, upstream, transposed(updates));
  const ofState = product(run, upstream, transposed(before));
  const between = (t: number, s: number, d: number) =>
    exp(run, round(sums[t][d] - sums[s][d]));
  left.forEach((q, t) =>
    q.forEach((_, d) => {
      let sum = round(exp(run, sums[t][d]) * ofState[t][d]);
      for (let s = 0; s < t; s++) {
        const key = round(between(t, s, d) * keys[s][d]);
        sum = fma(pairs[t][s], key, sum);
      }
      const other = round(scale * sum);
      gates[t][d] = fma(q[d], other, gates[t][d]);
      if (!strict) sum = fma(pairs[t][t], keys[t][d], sum);
      give(t, d, round(scale * sum));
    })
  );
  keys.forEach((k, s) =>
    k.forEach((_, d) => {
      let sum = 0;
      for (let t = s + 1; t < keys.length; t++) {
        const query = round(between(t, s, d) * left[t][d]);
        sum = fma(pairs[t][s], query, sum);
      }
      const other = round(scale * sum);
      gates[s][d] = fma(-k[d], other, gates[s][d]);
      if (!strict) sum = fma(pairs[s][s], left[s][d], sum);
      keyGradients[s][d] = fma(scale, sum, keyGradients[s][d]);
    })
  );
  D.forEach((row, d) => {
    left.forEach((q, t) => {
      const weight = round(scale * round(exp(run, sums[t][d]) * q[d]));
      row.forEach((x, c) => row[c] = fma(weight, upstream[t][c], x));
    });
  });
}

function transposed(matrix: Matrix): Matrix {
  return Array.from(
    matrix[0],
    (_, column) => Float64Array.from(matrix, (row) => row[column]),
  );
}

function copied(matrix: Matrix): Matrix {
  return matrix.map((row) => row.slice());
}

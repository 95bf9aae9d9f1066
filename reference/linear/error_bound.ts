/**
 * The working bound of linear attention: how far a float32 implementation, by
 * its recurrence or by chunks, may be from float64.
 *
 * The bound follows an error as it goes through the recurrence. Roundings are
 * taken for random and apart from each other, so what is followed is the
 * covariance `P` of a state column's error, in units of the roundoff `u = 2^-24`:
 * `P[i, j]` belongs to rows `i` and `j` of the state. With `a_t = exp g_t`, and
 * `H_i` the largest magnitude in row `i` of the state, each token
 *
 * ```text
 * decays it      P = diag(a) P diag(a)
 *                P += (kappa a H)^2         kappa = 1 + |g_t| + |G_t|
 * recalls        P = (I - beta k k^T) P (I - beta k k^T)^T       delta rules
 *                P += beta^2 (|r|^2 + |v|^2 + d |k H|^2) k k^T
 * adds to it     P += (|u| k)^2 n           n = 4 + C + d
 *                P += H^2
 * ```
 *
 * and an output is off by `2 u scale sqrt(q^T P q + n (|q H|^2 + |q h|^2))`, times
 * the gate of the implementation: two deviations, for it is the worst of many
 * elements. `n` counts the roundings of chains of sums in a chunk of `C` tokens
 * and over `d` channels; they grow as a random walk does.
 *
 * `kappa` has the rounding of `G_t`, the sum of log gates since the chunk began,
 * which is in the exponents of chunks. A recurrence does without it, and where
 * strong gates stand beside weak ones it is a hundred times more accurate: that
 * is why twice the error of the naive version is no bound for chunks. Gates that
 * are constant err by the same each time, and what that adds up to is followed
 * as it is, in place of its variance.
 *
 * What is squared stands for two matrices: its diagonal, as if the rows' errors
 * had nothing in common, and with the signs of the largest column, as if they
 * were one. A gate that is shared by all rows errs in all of them alike.
 *
 * No proof, as with softmax attention, but it finds real faults: a proof would
 * have to add up magnitudes, as if all roundings went the same way.
 *
 * @module
 */

import { checkInteger } from "../../src/core/check.ts";
import { ROUNDOFF } from "../error_bound.ts";
import type { Precision } from "../naive.ts";
import {
  type LinearAttentionProblem,
  type LinearGeometry,
  linearGeometryOf,
  vectorAt,
} from "./problem.ts";
import { initialStates, takeToken } from "./recurrent.ts";

/**
 * How many times the working bound of linear attention an implementation may be
 * off.
 *
 * @category Linear attention
 */
export const LINEAR_GATES: {
  /** The shadow's and the naive version's. */
  readonly shadow: number;
  /** A WGSL kernel's, whose `exp` alone may be off by `3 + 2|x|` units. */
  readonly wgsl: number;
} = { shadow: 1, wgsl: 4 };

/**
 * The working bound of one problem of linear attention.
 *
 * @category Linear attention
 */
export interface LinearErrorBound {
  /** Largest error of an output element. */
  readonly output: number;
  /** Largest error of a state's element. */
  readonly state: number;
}

/**
 * The working bound of a problem of linear attention in float32.
 *
 * @param problem The problem, as the implementation sees it (inputs rounded).
 * @param options Tokens in one chunk (1 for a recurrent implementation), the
 * gate (default {@linkcode LINEAR_GATES}'s shadow), and how the output is stored
 * (default `"f32"`).
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range.
 *
 * @example What a kernel may be off by
 * ```ts
 * import {
 *   LINEAR_GATES,
 *   linearErrorBound,
 *   naiveLinearAttention,
 *   recurrentLinearAttention,
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
 * };
 * const bound = linearErrorBound(problem, { chunk: 1, gate: LINEAR_GATES.wgsl });
 * const { output } = recurrentLinearAttention(problem);
 * const naive = naiveLinearAttention({ ...problem, precision: "f32" });
 * assert(output.every((x, i) => Math.abs(x - naive.output[i]) <= bound.output));
 * ```
 *
 * @category Linear attention
 */
export function linearErrorBound(
  problem: LinearAttentionProblem,
  { chunk, gate = LINEAR_GATES.shadow, stored = "f32" }: {
    chunk: number;
    gate?: number;
    stored?: Precision;
  },
): LinearErrorBound {
  checkInteger("chunk", chunk, 1);
  const geometry = linearGeometryOf(problem);
  const { query, headDim, valueHeads } = problem;
  const { valueHeadDim, stateSize } = geometry;
  const states = initialStates(problem, geometry, Float64Array);
  const scale = Math.abs(geometry.scale);
  const chain = 4 + chunk + headDim;
  let [output, state, largest] = [0, 0, 0];

  geometry.sequences.forEach(({ first, end }, n) => {
    for (let s = 0; s < valueHeads; s++) {
      const stateAt = geometry.stateAt(n, s);
      const values = states.subarray(stateAt, stateAt + stateSize);
      const covariance = new Covariance(headDim);
      const drift = new Float64Array(stateSize);
      let sums = new Float64Array(headDim);
      for (let token = first; token < end; token++) {
        if ((token - first) % chunk === 0) sums = new Float64Array(headDim);
        const at = { token, s, sums, chain };
        takeError(problem, geometry, at, { values, covariance, drift });
        const rows = rowsOf(values, valueHeadDim);
        for (const h of geometry.readersOf(s)) {
          const q = vectorAt(query, geometry.queryAt(token, h), headDim);
          const recalled = recalledOf(q, values, valueHeadDim);
          const square = covariance.along(q) +
            chain * (squares(q, rows) + recalled ** 2);
          const error = Math.sqrt(square) + recalledOf(q, drift, valueHeadDim);
          output = Math.max(output, scale * error);
          largest = Math.max(largest, scale * recalled);
        }
      }
      state = Math.max(state, covariance.largest() + largestOf(drift));
    }
  });
  const rounding = stored === "f16" ? 2 ** -11 * largest + 2 ** -25 : 0;
  return {
    output: gate * (2 * ROUNDOFF * output + SMALLEST_NORMAL) + rounding,
    state: gate * (2 * ROUNDOFF * state + SMALLEST_NORMAL),
  };
}

/** The smallest normal float32; WGSL may take smaller ones for 0. */
const SMALLEST_NORMAL = 2 ** -126;

/** Changes a state and the covariance of its error as a token says. */
function takeError(
  problem: LinearAttentionProblem,
  geometry: LinearGeometry,
  { token, s, sums, chain }: {
    readonly token: number;
    readonly s: number;
    /** The sums of log gates since the chunk began; changed. */
    readonly sums: Float64Array;
    /** The roundings of chains of sums. */
    readonly chain: number;
  },
  { values, covariance, drift }: {
    readonly values: Float64Array;
    readonly covariance: Covariance;
    readonly drift: Float64Array;
  },
): void {
  const { key, value, beta, decay, decayShape, headDim } = problem;
  const { valueHeadDim } = geometry;
  const valueAt = geometry.valueAt(token, s);
  const k = vectorAt(key, geometry.keyAt(token, s), headDim);

  const before = rowsOf(values, valueHeadDim);
  const constant = decayShape?.startsWith("constant") ?? false;
  const decayed = before.map((row, t) => {
    const gate = decay?.[geometry.gateAt(token, s, t)] ?? 0;
    sums[t] += gate;
    covariance.scaleRow(t, Math.exp(gate));
    const kappa = 1 + Math.abs(gate) + Math.abs(sums[t]);
    for (let at = t * valueHeadDim; at < (t + 1) * valueHeadDim; at++) {
      const drifted = drift[at] + (constant ? kappa * values[at] : 0);
      drift[at] = Math.exp(gate) * drifted;
    }
    return kappa * Math.exp(gate) * row;
  });
  if (decay && !constant) covariance.add(decayed);

  const step = takeToken(
    problem,
    geometry,
    { token, s, Floats: Float64Array },
    values,
  );
  const update = largestOf(step.update);
  if (geometry.delta) {
    const written = beta![geometry.betaAt(token, s)];
    covariance.project(k, written);
    projectColumns(drift, { k, beta: written, columns: valueHeadDim });
    let longest = 0;
    for (let c = 0; c < valueHeadDim; c++) {
      longest = Math.max(longest, Math.abs(value[valueAt + c]));
    }
    const square = largestOf(step.residual) ** 2 + longest ** 2 +
      headDim * squares(k, before);
    const error = Math.abs(written) * Math.sqrt(square);
    covariance.addProduct(k.map((x) => error * x));
  }
  covariance.add(k.map((x) => Math.sqrt(chain) * x * update));
  covariance.add(rowsOf(values, valueHeadDim));
}

/**
 * The largest magnitude in each row of a state, with the sign that the row has
 * in the state's largest column.
 */
function rowsOf(values: Float64Array, valueHeadDim: number): Float64Array {
  const lengths = new Float64Array(valueHeadDim);
  values.forEach((x, at) => lengths[at % valueHeadDim] += x * x);
  const column = lengths.indexOf(Math.max(...lengths));
  return Float64Array.from(
    { length: values.length / valueHeadDim },
    (_, t) => {
      const row = values.subarray(t * valueHeadDim, (t + 1) * valueHeadDim);
      return largestOf(row) * (row[column] < 0 ? -1 : 1);
    },
  );
}

function largestOf(array: Float64Array): number {
  let largest = 0;
  for (const x of array) largest = Math.max(largest, Math.abs(x));
  return largest;
}

/** The largest magnitude of `q^T h`. */
function recalledOf(
  q: Float64Array,
  state: Float64Array,
  columns: number,
): number {
  const sums = new Float64Array(columns);
  state.forEach((x, at) =>
    sums[at % columns] += q[Math.floor(at / columns)] * x
  );
  return largestOf(sums);
}

/** `(I - beta k k^T) h`. */
function projectColumns(
  state: Float64Array,
  { k, beta, columns }: { k: Float64Array; beta: number; columns: number },
): void {
  const sums = new Float64Array(columns);
  state.forEach((x, at) =>
    sums[at % columns] += k[Math.floor(at / columns)] * x
  );
  state.forEach((_, at) =>
    state[at] -= beta * k[Math.floor(at / columns)] * sums[at % columns]
  );
}

/** `|a b|^2`, element by element. */
function squares(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += (a[t] * b[t]) ** 2;
  return sum;
}

/** The covariance of the errors in one column of a state. */
class Covariance {
  readonly #size: number;
  readonly #elements: Float64Array;

  constructor(size: number) {
    this.#size = size;
    this.#elements = new Float64Array(size * size);
  }

  /** Multiplies the error of row `t`. */
  scaleRow(t: number, factor: number): void {
    if (factor === 1) return;
    for (let i = 0; i < this.#size; i++) {
      this.#elements[t * this.#size + i] *= factor;
      this.#elements[i * this.#size + t] *= factor;
    }
  }

  /** Takes `beta k k^T` of the error away from it. */
  project(k: Float64Array, beta: number): void {
    const n = this.#size;
    const along = k.map((_, i) => {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += this.#elements[i * n + j] * k[j];
      return sum;
    });
    let length = 0;
    k.forEach((x, i) => length += x * along[i]);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        this.#elements[i * n + j] += beta * beta * length * k[i] * k[j] -
          beta * (k[i] * along[j] + along[i] * k[j]);
      }
    }
  }

  /** Adds errors that are apart in each row, and as much that is in all. */
  add(errors: Float64Array): void {
    errors.forEach((x, t) => this.#elements[t * this.#size + t] += x * x);
    this.addProduct(errors);
  }

  /** Adds an error of that direction. */
  addProduct(error: Float64Array): void {
    const n = this.#size;
    for (let i = 0; i < n; i++) {
      if (error[i] === 0) continue;
      for (let j = 0; j < n; j++) {
        this.#elements[i * n + j] += error[i] * error[j];
      }
    }
  }

  /** The variance of what a vector recalls. */
  along(q: ArrayLike<number>): number {
    const n = this.#size;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        sum += q[i] * q[j] * this.#elements[i * n + j];
      }
    }
    return Math.max(sum, 0);
  }

  /** The largest deviation of an element. */
  largest(): number {
    let most = 0;
    for (let t = 0; t < this.#size; t++) {
      most = Math.max(most, this.#elements[t * this.#size + t]);
    }
    return Math.sqrt(most);
  }
}

/**
 * The loss of a gate on a pooled example, and its gradient by the weights, in
 * float64. With `G` what is to be learned and `A` the gate's shares,
 *
 * ```text
 * q = Q Wq                  k = K Wk                  both rotated: q', k'
 * z = q' k'^T / sqrt(d)     A = softmax of z over the blocks that are seen
 * loss = sum G ln(G / A) / elements
 * ```
 *
 * and backwards
 *
 * ```text
 * dz = (A sum G - G) / elements
 * dq' = dz k' / sqrt(d)     dk' = dz^T q' / sqrt(d)
 * dWq = Q^T dq              dWk = K^T dk              dq, dk: rotated back
 * ```
 *
 * @module
 */

import type { SeerRotary } from "../gate_sizes.ts";
import type { SeerWeights } from "../weights.ts";
import type { GateSizes, PooledExample } from "./pooled.ts";

/** What a gate is, besides its weights. */
export interface GateShape extends GateSizes {
  /** How gate rows are rotated. */
  readonly rotary: Required<SeerRotary> | undefined;
}

/** A sum over elements, and how many they are: of a mean over examples. */
export interface GateLoss {
  /** The sum of `G ln(G / A)`. */
  readonly sum: number;
  /** Elements of all rows that count. */
  readonly elements: number;
}

/**
 * The loss of one example, summed; where `gradients` are given, adds those of the
 * sum to them.
 */
export function gateLoss(
  example: PooledExample,
  weights: SeerWeights<Float64Array>,
  shape: GateShape,
  gradients?: SeerWeights<Float64Array>,
): GateLoss {
  const { batch, queryBlocks, keyBlocks, first } = example;
  const { queryHeads } = shape;
  const gate = { example, weights, shape };
  let sum = 0;
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < queryHeads; head++) {
      sum += headLoss(gate, [b, head], gradients);
    }
  }
  const rows = batch * queryHeads * (queryBlocks - first);
  return { sum, elements: rows * keyBlocks };
}

/**
 * The gate's shares of one example, 0 where it sees nothing:
 * `[batch, queryHeads, queryBlocks, keyBlocks]`.
 */
export function gateShares(
  example: PooledExample,
  weights: SeerWeights<Float64Array>,
  shape: GateShape,
): Float64Array {
  const { batch, queryBlocks, keyBlocks, seen } = example;
  const { queryHeads } = shape;
  const out = new Float64Array(batch * queryHeads * queryBlocks * keyBlocks);
  for (let at = 0; at < batch * queryHeads; at++) {
    const b = Math.floor(at / queryHeads);
    const rows = gateRows({ example, weights, shape }, b, at % queryHeads);
    rows.queries.forEach((query, i) => {
      const { shares } = sharesOf(query, rows.keys.slice(0, seen[i]));
      out.set(shares, (at * queryBlocks + i) * keyBlocks);
    });
  }
  return out;
}

interface Gate {
  readonly example: PooledExample;
  readonly weights: SeerWeights<Float64Array>;
  readonly shape: GateShape;
}

/** A head's matrix in a stack of them. */
interface Matrix {
  readonly of: Float64Array;
  readonly at: number;
}

/** What a head's gate multiplies, and what that is made of. */
interface GateRows {
  /** `q'` of each block of queries. */
  readonly queries: readonly Float64Array[];
  /** `k'` of each block of keys. */
  readonly keys: readonly Float64Array[];
  /** `Q` and `K`. */
  readonly pooled: {
    readonly query: readonly Float64Array[];
    readonly key: readonly Float64Array[];
  };
  /** `Wk`, and `Wq` if there is one. */
  readonly matrices: {
    readonly key: Matrix;
    readonly query: Matrix | undefined;
  };
}

function gateRows(
  { example, weights, shape }: Gate,
  b: number,
  head: number,
): GateRows {
  const { queryBlocks, keyBlocks, positions } = example;
  const { queryHeads, kvHeads, keyHeads, headDim, gateDim, block } = shape;
  const kvHead = Math.floor(head / (queryHeads / kvHeads));
  const query = rowsOf(example.query, {
    at: (b * queryHeads + head) * queryBlocks,
    count: queryBlocks,
    width: headDim,
  });
  const key = rowsOf(example.key, {
    at: (b * kvHeads + kvHead) * keyBlocks,
    count: keyBlocks,
    width: 3 * headDim,
  });
  const keyHead = keyHeads === queryHeads ? head : kvHead;
  const matrices = {
    key: { of: weights.key, at: keyHead * 3 * headDim * gateDim },
    query: weights.query &&
      { of: weights.query, at: head * headDim * gateDim },
  };
  const { rotary } = shape;
  return {
    queries: query.map((row, i) => {
      const own = matrices.query ? project(row, matrices.query, gateDim) : row;
      return rotate(own, positions[i], rotary);
    }),
    keys: key.map((row, j) =>
      rotate(project(row, matrices.key, gateDim), j * block, rotary)
    ),
    pooled: { query, key },
    matrices,
  };
}

/** A row's softmax over keys; logarithms stay finite where a share is 0. */
function sharesOf(
  query: Float64Array,
  keys: readonly Float64Array[],
): { readonly shares: readonly number[]; readonly logarithms: number[] } {
  const logits = keys.map((key) => dot(query, key) / Math.sqrt(query.length));
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, z) => total + Math.exp(z - most), 0);
  const logarithms = logits.map((z) => z - most - Math.log(sum));
  return { shares: logarithms.map(Math.exp), logarithms };
}

/** The sum over one head of one sequence. */
function headLoss(
  gate: Gate,
  [b, head]: readonly [number, number],
  gradients: SeerWeights<Float64Array> | undefined,
): number {
  const { example, shape } = gate;
  const { queryBlocks, keyBlocks, truth, positions, seen, first } = example;
  const { rotary, block, gateDim } = shape;
  const { queries, keys, pooled, matrices } = gateRows(gate, b, head);
  const keyGradients = keys.map(() => new Float64Array(gateDim));
  let sum = 0;
  for (let i = first; i < queryBlocks; i++) {
    const query = queries[i];
    const { shares, logarithms } = sharesOf(query, keys.slice(0, seen[i]));
    const at = ((b * shape.queryHeads + head) * queryBlocks + i) * keyBlocks;
    const wanted = truth.subarray(at, at + keyBlocks);
    const mass = wanted.reduce((total, share) => total + share, 0);
    logarithms.forEach((logarithm, j) => {
      if (wanted[j] > 0) sum += wanted[j] * (Math.log(wanted[j]) - logarithm);
    });
    if (!gradients) continue;
    const queryGradient = new Float64Array(gateDim);
    shares.forEach((share, j) => {
      const product = (share * mass - wanted[j]) / Math.sqrt(gateDim);
      for (let c = 0; c < gateDim; c++) {
        queryGradient[c] += product * keys[j][c];
        keyGradients[j][c] += product * query[c];
      }
    });
    if (matrices.query) {
      const back = rotate(queryGradient, -positions[i], rotary);
      addOuter(gradients.query!, matrices.query.at, pooled.query[i], back);
    }
  }
  if (gradients) {
    keyGradients.forEach((gradient, j) => {
      const back = rotate(gradient, -j * block, rotary);
      addOuter(gradients.key, matrices.key.at, pooled.key[j], back);
    });
  }
  return sum;
}

function rowsOf(
  all: Float64Array,
  { at, count, width }: {
    readonly at: number;
    readonly count: number;
    readonly width: number;
  },
): Float64Array[] {
  return Array.from(
    { length: count },
    (_, i) => all.subarray((at + i) * width, (at + i + 1) * width),
  );
}

/** A row by a matrix `[in, out]` that begins somewhere. */
function project(
  row: Float64Array,
  { of, at }: Matrix,
  width: number,
): Float64Array {
  const out = new Float64Array(width);
  row.forEach((x, n) => {
    for (let c = 0; c < width; c++) out[c] += x * of[at + n * width + c];
  });
  return out;
}

/** Adds the outer product of a row and a gradient to a matrix. */
function addOuter(
  matrix: Float64Array,
  at: number,
  row: Float64Array,
  gradient: Float64Array,
): void {
  row.forEach((x, n) => {
    gradient.forEach((g, c) => matrix[at + n * gradient.length + c] += x * g);
  });
}

/** A row rotated at a position; by the opposite one, back. */
function rotate(
  row: Float64Array,
  position: number,
  rotary: GateShape["rotary"],
): Float64Array {
  if (!rotary) return row;
  const out = row.slice();
  const pairs = Math.floor(row.length / 2);
  for (let t = 0; t < pairs; t++) {
    const [x, y] = rotary.pairing === "interleaved"
      ? [2 * t, 2 * t + 1]
      : [t, t + pairs];
    const angle = position * rotary.base ** (-t / pairs);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    out[x] = row[x] * cos - row[y] * sin;
    out[y] = row[y] * cos + row[x] * sin;
  }
  return out;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, c) => sum + x * b[c], 0);
}

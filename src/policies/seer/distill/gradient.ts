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
  let sum = 0;
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < queryHeads; head++) {
      sum += headLoss({ example, weights, shape, gradients }, b, head);
    }
  }
  const rows = batch * queryHeads * (queryBlocks - first);
  return { sum, elements: rows * keyBlocks };
}

interface Context {
  readonly example: PooledExample;
  readonly weights: SeerWeights<Float64Array>;
  readonly shape: GateShape;
  readonly gradients: SeerWeights<Float64Array> | undefined;
}

function headLoss(
  { example, weights, shape, gradients }: Context,
  b: number,
  head: number,
): number {
  const { queryBlocks, keyBlocks, truth, positions, seen, first } = example;
  const { queryHeads, kvHeads, keyHeads, headDim, gateDim, block } = shape;
  const scale = 1 / Math.sqrt(gateDim);
  const kvHead = Math.floor(head / (queryHeads / kvHeads));
  const queryRows = rowsOf(example.query, {
    at: (b * queryHeads + head) * queryBlocks,
    count: queryBlocks,
    width: headDim,
  });
  const keyRows = rowsOf(example.key, {
    at: (b * kvHeads + kvHead) * keyBlocks,
    count: keyBlocks,
    width: 3 * headDim,
  });
  const keyMatrix = {
    of: weights.key,
    at: (keyHeads === queryHeads ? head : kvHead) * 3 * headDim * gateDim,
  };
  const queryMatrix = weights.query &&
    { of: weights.query, at: head * headDim * gateDim };
  const turn = (row: Float64Array, position: number) =>
    rotate(row, position, shape.rotary);
  const keys = keyRows.map((row, j) =>
    turn(project(row, keyMatrix, gateDim), j * block)
  );
  const keyGradients = keys.map(() => new Float64Array(gateDim));
  let sum = 0;
  for (let i = first; i < queryBlocks; i++) {
    const own = queryMatrix
      ? project(queryRows[i], queryMatrix, gateDim)
      : queryRows[i];
    const query = turn(own, positions[i]);
    const { shares, logarithms } = softmax(
      keys.slice(0, seen[i]).map((key) => scale * dot(query, key)),
    );
    const at = ((b * queryHeads + head) * queryBlocks + i) * keyBlocks;
    const wanted = truth.subarray(at, at + keyBlocks);
    const mass = wanted.reduce((total, share) => total + share, 0);
    shares.forEach((_, j) => {
      if (wanted[j] > 0) {
        sum += wanted[j] * (Math.log(wanted[j]) - logarithms[j]);
      }
    });
    if (!gradients) continue;
    const queryGradient = new Float64Array(gateDim);
    shares.forEach((share, j) => {
      const logit = scale * (share * mass - wanted[j]);
      for (let c = 0; c < gateDim; c++) {
        queryGradient[c] += logit * keys[j][c];
        keyGradients[j][c] += logit * query[c];
      }
    });
    if (queryMatrix) {
      const back = turn(queryGradient, -positions[i]);
      addOuter(gradients.query!, queryMatrix.at, queryRows[i], back);
    }
  }
  if (gradients) {
    keyRows.forEach((row, j) => {
      const back = turn(keyGradients[j], -j * block);
      addOuter(gradients.key, keyMatrix.at, row, back);
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
  { of, at }: { readonly of: Float64Array; readonly at: number },
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
  rotary: Required<SeerRotary> | undefined,
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

/** Shares, and their logarithms, which stay finite where a share is 0. */
function softmax(
  logits: readonly number[],
): {
  readonly shares: readonly number[];
  readonly logarithms: readonly number[];
} {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, z) => total + Math.exp(z - most), 0);
  const logarithms = logits.map((z) => z - most - Math.log(sum));
  return { shares: logarithms.map(Math.exp), logarithms };
}

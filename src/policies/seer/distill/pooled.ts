/**
 * What a gate sees of an example, in float64: rows pooled over blocks, where they
 * stand, and what they are to attend to. None of it depends on the weights, so it
 * is made once.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import { checkOptions } from "../../../core/options.ts";
import { describeTensor, type HostTensor } from "../../../ops/tensors.ts";
import type { GateHeads, WeightSizes } from "../gate_sizes.ts";

/**
 * What a gate learns from: rows of sequences of equal lengths, and how much their
 * blocks attend to each other.
 *
 * @category Policies
 */
export interface SeerExample {
  /** `[batch, queries, queryHeads, headDim]`, before rotary embedding. */
  readonly query: HostTensor;
  /** `[batch, keys, kvHeads, headDim]`, before rotary embedding. */
  readonly key: HostTensor;
  /**
   * `[batch, queryHeads, queryBlocks, keyBlocks]`: what `attention()` of the
   * rotated rows gives as `blockScores`.
   */
  readonly blockScores: HostTensor;
}

/** Sizes of a gate. */
export interface GateSizes extends GateHeads, WeightSizes {
  /** Tokens of a block. */
  readonly block: number;
  /** Whether a block of queries sees no later block of keys. */
  readonly causal: boolean;
  /** The part of the rows of blocks, from the first on, that do not count. */
  readonly skip: number;
}

/** An example, pooled. */
export interface PooledExample {
  readonly batch: number;
  readonly queryBlocks: number;
  readonly keyBlocks: number;
  /** `[batch, queryHeads, queryBlocks, headDim]`: means. */
  readonly query: Float64Array;
  /** `[batch, kvHeads, keyBlocks, 3 headDim]`: maxima, minima and means. */
  readonly key: Float64Array;
  /** `[batch, queryHeads, queryBlocks, keyBlocks]`. */
  readonly truth: Float64Array;
  /** Where the block of keys begins that a block's first query stands in. */
  readonly positions: readonly number[];
  /** How many blocks of keys, from the first on, each block of queries sees. */
  readonly seen: readonly number[];
  /** The first row of blocks that counts. */
  readonly first: number;
}

const KNOWN = ["query", "key", "blockScores"];
const HINTS = {
  q: "write query",
  k: "write key",
  truth: "write blockScores",
  scores: "write blockScores",
  value: "a gate looks at no values",
};

/**
 * Pools an example.
 *
 * @throws {TypeError} if a shape does not fit, or what is to be learned lies where
 * the gate sees nothing
 * @throws {RangeError} if scores of blocks are negative or not finite
 */
export function pooledExample(
  name: string,
  example: SeerExample,
  sizes: GateSizes,
): PooledExample {
  checkOptions(name, example, { known: KNOWN, hints: HINTS });
  const { queryHeads, kvHeads, headDim, block, causal } = sizes;
  const query = float32(`${name}.query`, example.query);
  const key = float32(`${name}.key`, example.key);
  const scores = float32(`${name}.blockScores`, example.blockScores);
  const [batch, queries] = query.shape;
  const [, keys] = key.shape;
  checkShape(`${name}.query`, query, [batch, queries, queryHeads, headDim]);
  checkShape(`${name}.key`, key, [batch, keys, kvHeads, headDim]);
  const queryBlocks = Math.ceil(queries / block);
  const keyBlocks = Math.ceil(keys / block);
  checkShape(`${name}.blockScores`, scores, [
    batch,
    queryHeads,
    queryBlocks,
    keyBlocks,
  ]);
  const offset = keys - queries;
  const rows = Array.from({ length: queryBlocks }, (_, i) => i);
  const blockOf = (query: number) =>
    Math.floor(Math.max(offset + query, 0) / block);
  const pooled = {
    batch,
    queryBlocks,
    keyBlocks,
    query: pool(query, block, (rows) => [meanOf(rows)]),
    key: pool(key, block, (rows) => [
      rows.reduce((most, x) => Math.max(most, x), -Infinity),
      rows.reduce((least, x) => Math.min(least, x), Infinity),
      meanOf(rows),
    ]),
    truth: Float64Array.from(scores.data),
    positions: rows.map((i) => blockOf(i * block) * block),
    seen: rows.map((i) => {
      const last = Math.min((i + 1) * block, queries) - 1;
      return causal ? offset + last < 0 ? 0 : blockOf(last) + 1 : keyBlocks;
    }),
    first: Math.floor(sizes.skip * queryBlocks),
  };
  checkTruth(`${name}.blockScores`, pooled);
  return pooled;
}

/** Each element of rows over the tokens of a block: `[batch, heads, blocks, ..]`. */
function pool(
  { data, shape: [batch, tokens, heads, dim] }: HostTensor,
  block: number,
  by: (elements: readonly number[]) => readonly number[],
): Float64Array {
  const blocks = Math.ceil(tokens / block);
  const width = by([0]).length * dim;
  const out = new Float64Array(batch * heads * blocks * width);
  for (let row = 0; row < batch * heads * blocks; row++) {
    const first = (row % blocks) * block;
    const head = Math.floor(row / blocks) % heads;
    const b = Math.floor(row / blocks / heads);
    const count = Math.min(block, tokens - first);
    for (let c = 0; c < dim; c++) {
      const elements = Array.from(
        { length: count },
        (_, i) => data[((b * tokens + first + i) * heads + head) * dim + c],
      );
      by(elements).forEach((x, n) => out[row * width + n * dim + c] = x);
    }
  }
  return out;
}

function meanOf(elements: readonly number[]): number {
  return elements.reduce((sum, x) => sum + x, 0) / elements.length;
}

function checkTruth(
  name: string,
  { truth, seen, queryBlocks, keyBlocks }: PooledExample,
): void {
  truth.forEach((score, at) => {
    checkRange(
      score >= 0 && score < Infinity,
      `${name}[${at}]`,
      "must be finite and >= 0, as shares of a row are",
      score,
    );
    const row = Math.floor(at / keyBlocks) % queryBlocks;
    checkType(
      score === 0 || at % keyBlocks < seen[row],
      `${name}[${at}]`,
      `must be 0, as a causal gate sees the first ${
        seen[row]
      } blocks of keys in row ${row}; say causal: false where attention is not`,
      score,
    );
  });
}

/** A tensor, where it is one of float32 on the host. */
export function float32(name: string, tensor: HostTensor): HostTensor {
  const { dtype } = describeTensor(name, tensor);
  checkType(
    dtype === "f32" && "data" in tensor && tensor.data instanceof Float32Array,
    name,
    "must be { data: Float32Array, shape }",
    tensor,
  );
  return tensor;
}

function checkShape(
  name: string,
  { shape }: HostTensor,
  expected: readonly number[],
): void {
  checkType(
    shape.join() === expected.join(),
    `${name}.shape`,
    `must be [${expected.join(", ")}]`,
    shape,
  );
}

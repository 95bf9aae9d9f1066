/**
 * Whether attention comes out right on a device: two small problems, against
 * the definition in float64.
 *
 * @module
 */

import { attention, type Gpu, KvCache } from "../../mod.ts";
import { Prng } from "../core/prng.ts";

/** What one problem came to. */
export interface CheckResult {
  /** What was computed. */
  readonly name: string;
  /** The largest difference from float64's; NaN if one is none. */
  readonly error: number;
  /** Whether that is no more than float32's rounding. */
  readonly ok: boolean;
}

const TOKENS = 40;
const HEADS = 2;
const HEAD_DIM = 32;
const ROW = HEADS * HEAD_DIM;

/** Far above float32's rounding here, and far below any other mistake. */
const BOUND = 1e-5;

interface Rows {
  readonly query: Float32Array;
  readonly key: Float32Array;
  readonly value: Float32Array;
}

function randomRows(): Rows {
  const random = new Prng(1);
  const rows = () =>
    Float32Array.from({ length: TOKENS * ROW }, () => random.normal());
  return { query: rows(), key: rows(), value: rows() };
}

/** Causal attention of the query at `position`, by its definition. */
export function definition(
  { query, key, value }: Rows,
  position: number,
): Float64Array {
  const output = new Float64Array(ROW);
  for (let first = 0; first < ROW; first += HEAD_DIM) {
    const weights = Array.from({ length: position + 1 }, (_, k) => {
      let score = 0;
      for (let c = first; c < first + HEAD_DIM; c++) {
        score += query[position * ROW + c] * key[k * ROW + c];
      }
      return Math.exp(score / Math.sqrt(HEAD_DIM));
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let c = first; c < first + HEAD_DIM; c++) {
      for (const [k, weight] of weights.entries()) {
        output[c] += weight / total * value[k * ROW + c];
      }
    }
  }
  return output;
}

/** Compares the outputs of the last positions with the definition. */
function compare(
  name: string,
  rows: Rows,
  output: ArrayLike<number>,
): CheckResult {
  const first = TOKENS - output.length / ROW;
  let error = 0;
  for (let position = first; position < TOKENS; position++) {
    definition(rows, position).forEach((expected, c) => {
      const off = Math.abs(output[(position - first) * ROW + c] - expected);
      // A NaN stays one.
      if (!(off <= error)) error = off;
    });
  }
  return { name, error, ok: error <= BOUND };
}

/** Causal attention over tensors. */
async function checkDense(gpu: Gpu, rows: Rows): Promise<CheckResult> {
  const shape = [1, TOKENS, HEADS, HEAD_DIM];
  const { output } = await attention(gpu, {
    query: { data: rows.query, shape },
    key: { data: rows.key, shape },
    value: { data: rows.value, shape },
    causal: true,
  });
  return compare("attention, dense", rows, output.data);
}

/** The last token's attention over a paged cache. */
async function checkPaged(gpu: Gpu, rows: Rows): Promise<CheckResult> {
  const cache = await KvCache.create(gpu, {
    numBlocks: 8,
    kvHeads: HEADS,
    headDim: HEAD_DIM,
  });
  const shape = [TOKENS, HEADS, HEAD_DIM];
  const key = gpu.tensor(rows.key, shape);
  const value = gpu.tensor(rows.value, shape);
  try {
    const sequence = cache.createSequence();
    cache.append([{ sequence, count: TOKENS }], { key, value });
    const { output } = await attention(gpu, {
      query: {
        data: rows.query.slice(-ROW),
        shape: [1, 1, HEADS, HEAD_DIM],
      },
      cache,
      sequences: [sequence],
      causal: true,
    });
    return compare("attention, paged", rows, output.data);
  } finally {
    for (const made of [key, value, cache]) made.destroy();
  }
}

/** Computes both on a device. */
export async function checkAttention(gpu: Gpu): Promise<CheckResult[]> {
  const rows = randomRows();
  return [await checkDense(gpu, rows), await checkPaged(gpu, rows)];
}

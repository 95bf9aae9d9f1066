/**
 * Texts in a paged KV cache: bytes in, encoded rows appended.
 *
 * @module
 */

import {
  type AttentionOptions,
  type BlockTable,
  type Gpu,
  KvCache,
  type TensorShape,
} from "../mod.ts";
import {
  HEAD_DIM,
  keyValueRows,
  KV_HEADS,
  QUERY_HEADS,
  SCALE,
  VALUE_HEAD_DIM,
} from "./encoding.ts";

/** Tokens of a block. */
export const BLOCK_SIZE = 16;

/** Bytes `start..end - 1` of a text, to go to the end of a sequence. */
export interface Addition {
  /** Where they go. */
  readonly sequence: BlockTable;
  /** All of the sequence's text. */
  readonly text: Uint8Array;
  /** The sequence's length so far. */
  readonly start: number;
  /** Its length afterwards. */
  readonly end: number;
}

/** A cache for sequences that together take `blocks` blocks. */
export async function textCache(gpu: Gpu, blocks: number): Promise<KvCache> {
  return await KvCache.create(gpu, {
    numBlocks: blocks + 1,
    blockSize: BLOCK_SIZE,
    kvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    valueHeadDim: VALUE_HEAD_DIM,
  });
}

/**
 * Appends bytes to sequences, all in one submission.
 *
 * @returns How many blocks were copied because they were shared.
 */
export function appendText(
  gpu: Gpu,
  cache: KvCache,
  additions: readonly Addition[],
): number {
  const rows = additions.map(({ text, start, end }) =>
    keyValueRows(text, start, end)
  );
  using step = cache.reserve(
    additions.map(({ sequence, start, end }) => ({
      sequence,
      count: end - start,
    })),
  );
  using key = gpu.tensor(joined(rows.map((row) => row.key)), [
    step.tokens,
    KV_HEADS,
    HEAD_DIM,
  ]);
  using value = gpu.tensor(joined(rows.map((row) => row.value)), [
    step.tokens,
    KV_HEADS,
    VALUE_HEAD_DIM,
  ]);
  step.write({ key, value });
  step.commit();
  return step.copies;
}

/** Arrays one after another. */
export function joined(arrays: readonly Float32Array[]): Float32Array {
  const total = arrays.reduce((sum, { length }) => sum + length, 0);
  const out = new Float32Array(total);
  let at = 0;
  for (const array of arrays) {
    out.set(array, at);
    at += array.length;
  }
  return out;
}

/** Options for `queries` queries of each of some cached sequences. */
export function cachedAttention(
  cache: KvCache,
  sequences: readonly BlockTable[],
  queries: number,
): AttentionOptions<TensorShape> {
  const shape = [sequences.length, queries, QUERY_HEADS, HEAD_DIM];
  return {
    query: { dtype: "f32", shape },
    cache,
    sequences,
    scale: SCALE,
    returnLse: true,
  };
}

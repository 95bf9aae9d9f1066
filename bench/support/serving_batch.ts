/**
 * Batches of decodes as a service has them: sequences in one cache, of any
 * lengths, maybe all behind one prompt; and the same keys in tensors in order.
 *
 * @module
 */

import type { BlockTable } from "../../src/cache/mod.ts";
import type { KvCache } from "../../src/kv/mod.ts";
import { bytesPerElement, type DType } from "../../src/core/dtype.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  type AttentionTensors,
  planAttention,
  type PlanChoices,
} from "../../src/ops/mod.ts";
import type { Contestant } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { shuffledCache } from "./shuffled_cache.ts";

/** One token of each of several sequences. */
export interface ServingBatch {
  /** Keys of each sequence. */
  readonly keys: readonly number[];
  /** The first so many of which are the same for all. */
  readonly prompt: number;
  /** Query heads. */
  readonly queryHeads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a row. */
  readonly headDim: number;
  /** The storage type. */
  readonly dtype: DType;
  /** Tokens of a block. */
  readonly blockSize: number;
}

/** Bytes of all keys and values, each counted for every sequence. */
export function readBytes(batch: ServingBatch): number {
  const tokens = batch.keys.reduce((sum, count) => sum + count, 0);
  return tokens * rowBytes(batch);
}

/** The same, but what is shared counted once. */
export function distinctBytes(batch: ServingBatch): number {
  const again = (batch.keys.length - 1) * batch.prompt;
  return readBytes(batch) - again * rowBytes(batch);
}

function rowBytes({ kvHeads, headDim, dtype }: ServingBatch): number {
  return 2 * kvHeads * headDim * bytesPerElement(dtype);
}

/** Tokens of one upload, so that no staging buffer is large. */
const UPLOAD = 4096;

/** A batch on a device. */
export class LoadedBatch {
  readonly #gpu: Gpu;
  readonly #batch: ServingBatch;
  readonly #cache: KvCache;
  readonly #sequences: readonly BlockTable[];
  readonly #query: GpuTensor;
  readonly #output: GpuTensor;
  readonly #owned: { destroy(): void }[] = [];

  private constructor(
    gpu: Gpu,
    batch: ServingBatch,
    cache: KvCache,
    sequences: readonly BlockTable[],
  ) {
    const { queryHeads, headDim, dtype, keys } = batch;
    const shape = [keys.length, 1, queryHeads, headDim];
    this.#gpu = gpu;
    this.#batch = batch;
    this.#cache = cache;
    this.#sequences = sequences;
    const values = normals(dtype, keys.length * queryHeads * headDim, 1);
    this.#query = gpu.tensor(values, shape, "bench");
    this.#output = gpu.empty(dtype, shape, "bench");
    this.#owned.push(cache, this.#query, this.#output);
  }

  /** Fills a cache whose blocks lie in no order. */
  static async create(gpu: Gpu, batch: ServingBatch): Promise<LoadedBatch> {
    const { keys, prompt, blockSize, kvHeads, headDim, dtype } = batch;
    const blocks = (count: number) => Math.ceil(count / blockSize);
    const own = keys.reduce((sum, n) => sum + blocks(n) - blocks(prompt), 0);
    const cache = await shuffledCache(gpu, {
      ...{ blockSize, kvHeads, headDim, dtype },
      numBlocks: 2 + keys.length + blocks(prompt) + own,
    });
    const first = cache.createSequence();
    append(cache, first, batch, prompt);
    const sequences = keys.map(() => first.fork());
    first.free();
    sequences.forEach((sequence, i) =>
      append(cache, sequence, batch, keys[i] - prompt)
    );
    return new LoadedBatch(gpu, batch, cache, sequences);
  }

  /** A plan that reads the cache. */
  async paged(choices: PlanChoices = {}): Promise<Contestant> {
    const plan = await planAttention(this.#gpu, {
      query: this.#query,
      cache: this.#cache,
      sequences: this.#sequences,
      ...choices,
    });
    this.#owned.push(plan);
    const tensors = {
      query: this.#query,
      output: this.#output,
      arenas: this.#cache.arenas(),
    };
    return { plan, tensors };
  }

  /** A plan that reads as many keys from tensors; lengths must be equal. */
  async contiguous(choices: PlanChoices = {}): Promise<Contestant> {
    const { keys, kvHeads, headDim, dtype } = this.#batch;
    const shape = [keys.length, keys[0], kvHeads, headDim];
    const rows = keys.length * keys[0] * kvHeads * headDim;
    const [key, value] = [2, 3].map((seed) =>
      this.#gpu.tensor(normals(dtype, rows, seed), shape, "bench")
    );
    const plan = await planAttention(this.#gpu, {
      query: this.#query,
      key,
      value,
      ...choices,
    });
    this.#owned.push(plan, key, value);
    const tensors: AttentionTensors = {
      query: this.#query,
      output: this.#output,
      key,
      value,
    };
    return { plan, tensors };
  }

  /** Frees its tensors and plans. */
  destroy(): void {
    for (const made of this.#owned) made.destroy();
  }
}

function append(
  cache: KvCache,
  sequence: BlockTable,
  { kvHeads, headDim, dtype }: ServingBatch,
  count: number,
): void {
  for (let left = count; left > 0; left -= UPLOAD) {
    const tokens = Math.min(left, UPLOAD);
    const [key, value] = [4, 5].map((seed) =>
      cache.gpu.tensor(
        normals(dtype, tokens * kvHeads * headDim, seed),
        [tokens, kvHeads, headDim],
        "bench",
      )
    );
    cache.append([{ sequence, count: tokens }], { key, value });
    key.destroy();
    value.destroy();
  }
}

/**
 * What the arenas of a cache hold, read back slot by slot, and the dumbest
 * model of it: two arrays of rows.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../mod.ts";
import type { KvArenas } from "../../src/kv/mod.ts";
import type { BlockCopy } from "../../src/cache/mod.ts";
import { Prng } from "../../src/core/prng.ts";

/** Host arrays of a cache's dtype. */
export type Rows = Float32Array | Float16Array;

/** A zeroed array of a cache's dtype. */
export function rowsOf(cache: KvArenas, length: number): Rows {
  return cache.dtype === "f16"
    ? new Float16Array(length)
    : new Float32Array(length);
}

/** The keys and values of one layer, a row a slot. */
export class CacheImage {
  /** Elements of a slot's keys, and of its values. */
  readonly widths: { readonly key: number; readonly value: number };
  /** `[numBlocks * blockSize, kvHeads * headDim]`. */
  readonly key: Rows;
  /** `[numBlocks * blockSize, kvHeads * valueHeadDim]`. */
  readonly value: Rows;
  readonly #blockSize: number;

  /** An image of zeros. */
  constructor(cache: KvArenas) {
    const { numBlocks, blockSize, kvHeads, headDim, valueHeadDim } = cache;
    this.widths = { key: kvHeads * headDim, value: kvHeads * valueHeadDim };
    this.key = rowsOf(cache, numBlocks * blockSize * this.widths.key);
    this.value = rowsOf(cache, numBlocks * blockSize * this.widths.value);
    this.#blockSize = blockSize;
  }

  /** Copies rows as a block copy asks for. */
  copy({ source, destination, rows }: BlockCopy): void {
    for (const part of ["key", "value"] as const) {
      const block = this.#blockSize * this.widths[part];
      const from = source * block;
      const end = from + rows * this.widths[part];
      this[part].copyWithin(destination * block, from, end);
    }
  }

  /** Writes the rows of token `index` of some new rows into a slot. */
  write(slot: number, index: number, rows: { key: Rows; value: Rows }): void {
    for (const part of ["key", "value"] as const) {
      const width = this.widths[part];
      const row = rows[part].slice(index * width, (index + 1) * width);
      this[part].set(row as never, slot * width);
    }
  }

  /** A slot's keys and values, in that order. */
  slot(slot: number): number[] {
    return (["key", "value"] as const).flatMap((part) => {
      const width = this.widths[part];
      return [...this[part].subarray(slot * width, (slot + 1) * width)];
    });
  }
}

/** Arenas of layers as tensors; they stay the cache's. */
function wrapped(gpu: Gpu, cache: KvArenas): GpuTensor[] {
  const { numBlocks: _, ...sizes } = cache;
  const elements = sizes.segmentBlocks * sizes.blockSize * sizes.kvHeads *
    (sizes.headDim + sizes.valueHeadDim);
  return Array.from({ length: cache.layers }, (_, layer) => layer)
    .flatMap((layer) => cache.arenas(layer))
    .map((arena) => gpu.wrap(arena.buffer, cache.dtype, [elements]));
}

/** Reads all layers back, with one wait. */
export async function readCache(
  gpu: Gpu,
  cache: KvArenas,
): Promise<CacheImage[]> {
  const arenas = await gpu.read(wrapped(gpu, cache)) as Rows[];
  const { segments, segmentBlocks, blockSize } = cache;
  return Array.from({ length: cache.layers }, (_, layer) => {
    const image = new CacheImage(cache);
    const valueAt = segmentBlocks * blockSize * image.widths.key;
    for (let slot = 0; slot < cache.numBlocks * blockSize; slot++) {
      const segment = Math.floor(slot / blockSize / segmentBlocks);
      const local = slot - segment * segmentBlocks * blockSize;
      const arena = arenas[layer * segments + segment];
      image.write(slot, local, {
        key: arena,
        value: arena.subarray(valueAt) as Rows,
      });
    }
    return image;
  });
}

/** Random rows for `tokens` tokens. */
export function randomRows(
  cache: KvArenas,
  tokens: number,
  seed: number,
): { key: Rows; value: Rows } {
  const prng = new Prng(seed);
  const fill = (width: number) =>
    rowsOf(cache, tokens * cache.kvHeads * width).map(() => prng.normal());
  return {
    key: fill(cache.headDim) as Rows,
    value: fill(cache.valueHeadDim) as Rows,
  };
}

/** Uploads rows, and destroys them when the block that holds them ends. */
export function uploadRows(
  gpu: Gpu,
  cache: KvArenas,
  rows: { key: Rows; value: Rows },
): Disposable & { key: GpuTensor; value: GpuTensor } {
  const { kvHeads, headDim, valueHeadDim } = cache;
  const tokens = rows.key.length / kvHeads / headDim;
  const key = gpu.tensor(rows.key, [tokens, kvHeads, headDim]);
  const value = gpu.tensor(rows.value, [tokens, kvHeads, valueHeadDim]);
  return {
    key,
    value,
    [Symbol.dispose]() {
      key.destroy();
      value.destroy();
    },
  };
}

/** Fills every slot of every layer with random rows; gives the images. */
export function fillCache(
  gpu: Gpu,
  cache: KvArenas,
  seed: number,
): CacheImage[] {
  const tokens = cache.numBlocks * cache.blockSize;
  const slots = Uint32Array.from({ length: tokens }, (_, i) => i);
  return Array.from({ length: cache.layers }, (_, layer) => {
    const rows = randomRows(cache, tokens, seed + layer);
    using tensors = uploadRows(gpu, cache, rows);
    cache.step([{ slots }]).write({ layer, ...tensors });
    const image = new CacheImage(cache);
    image.key.set(rows.key as never);
    image.value.set(rows.value as never);
    return image;
  });
}

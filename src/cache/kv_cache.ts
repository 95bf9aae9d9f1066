/**
 * The KV cache's GPU half: arenas of blocks, and the commands that write them.
 * Which block belongs to whom is the pool's and the tables' business.
 *
 * @module
 */

import {
  APPEND_LANES,
  APPEND_PARAMS,
  appendKernel,
} from "../../kernels/cache/append.ts";
import {
  COPY_PARAMS,
  copyBlocksKernel,
} from "../../kernels/cache/copy_blocks.ts";
import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../kernels/fragments/rows.ts";
import { packUniforms, type UniformFields } from "../../kernels/wgsl.ts";
import { checkInteger, checkType } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import {
  BufferUsage,
  type CompiledKernel,
  foldGrid,
  type Gpu,
  type GpuBuffer,
} from "../gpu/mod.ts";
import { BlockPool } from "./block_pool.ts";
import { type BlockCopy, BlockTable } from "./block_table.ts";
import { cacheSizes, type KvCacheOptions } from "./kv_sizes.ts";
import {
  type AppendRows,
  checkAppendRows,
  checkCopies,
  checkSlots,
} from "./kv_rows.ts";
import { copyBatches } from "./copy_batches.ts";

/**
 * A paged KV cache on the device. Each layer has arenas of blocks, keys
 * `[blocks, blockSize, kvHeads, headDim]` first, then values; block b is in
 * arena `floor(b / segmentBlocks)`.
 *
 * @example Append one token to a sequence
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { KvCache } from "@quire/attention/cache";
 *
 * const gpu = await openGpu();
 * const cache = await KvCache.create(gpu, { numBlocks: 8, kvHeads: 1, headDim: 4 });
 * const sequence = cache.createSequence();
 * cache.append([sequence.append(1)], {
 *   key: gpu.tensor(new Float32Array([1, 0, 0, 0]), [1, 1, 4]),
 *   value: gpu.tensor(new Float32Array([5, 6, 7, 8]), [1, 1, 4]),
 * });
 * console.log(sequence.length); // 1
 * gpu.destroy();
 * ```
 */
export class KvCache implements Disposable {
  /** The device. */
  readonly gpu: Gpu;
  /** Who owns which block. */
  readonly pool: BlockPool;
  /** Blocks a layer, the null block included. */
  readonly numBlocks: number;
  /** Tokens of a block. */
  readonly blockSize: number;
  /** Layers. */
  readonly layers: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a key row. */
  readonly headDim: number;
  /** Elements of a value row. */
  readonly valueHeadDim: number;
  /** The storage type. */
  readonly dtype: DType;
  /** Rotated elements of a key; 0 where `append` does not rotate. */
  readonly ropeDim: number;
  /** Arenas a layer. */
  readonly segments: number;
  /** Blocks of an arena; the last one may be partly unused. */
  readonly segmentBlocks: number;
  /** Bytes of all arenas. */
  readonly byteLength: number;
  readonly #format: RowFormat;
  readonly #arenaBytes: number;
  readonly #arenas: GpuBuffer[][] = [];
  readonly #appendParams: GpuBuffer[] = [];
  #copyParams!: GpuBuffer;
  #append!: CompiledKernel;
  #copy!: CompiledKernel;
  #cross!: CompiledKernel;
  #destroyed = false;

  private constructor(gpu: Gpu, options: KvCacheOptions) {
    const sizes = cacheSizes(gpu, options);
    this.pool = new BlockPool(sizes);
    this.gpu = gpu;
    this.numBlocks = sizes.numBlocks;
    this.blockSize = sizes.blockSize;
    this.layers = sizes.layers;
    this.kvHeads = sizes.kvHeads;
    this.headDim = sizes.headDim;
    this.valueHeadDim = sizes.valueHeadDim;
    this.dtype = sizes.dtype;
    this.ropeDim = sizes.ropeDim;
    this.segments = sizes.segments;
    this.segmentBlocks = sizes.segmentBlocks;
    this.#arenaBytes = sizes.segmentBlocks * sizes.blockBytes;
    this.byteLength = sizes.layers * sizes.segments * this.#arenaBytes;
    this.#format = rowFormat(this.dtype, this.headDim, this.valueHeadDim);
  }

  /**
   * Allocates a cache.
   *
   * @throws {RangeError} if an option is out of range, or an arena is larger
   * than the device's limits
   * @throws {UnsupportedError} for f16 without `shader-f16`
   */
  static async create(gpu: Gpu, options: KvCacheOptions): Promise<KvCache> {
    gpu.check();
    const cache = new KvCache(gpu, options);
    const { headDim, valueHeadDim, dtype } = cache;
    const format = cache.#format;
    const [append, copy, cross] = await Promise.all([
      gpu.pipeline(appendKernel({
        keyFormat: rowFormat(dtype, headDim),
        valueFormat: rowFormat(dtype, valueHeadDim),
        arenaFormat: format,
        rope: options.rope?.pairing,
      })),
      gpu.pipeline(copyBlocksKernel({ format, crossing: false })),
      gpu.pipeline(copyBlocksKernel({ format, crossing: true })),
    ]);
    cache.#append = append;
    cache.#copy = copy;
    cache.#cross = cross;
    try {
      await gpu.scoped("allocate a KV cache", () => cache.#allocate());
    } catch (error) {
      cache.destroy();
      throw error;
    }
    return cache;
  }

  #allocate(): void {
    const { gpu, layers, segments } = this;
    const size = Math.ceil(this.#arenaBytes / 16) * 16;
    for (let layer = 0; layer < layers; layer++) {
      const arenas: GpuBuffer[] = [];
      this.#arenas.push(arenas);
      for (let segment = 0; segment < segments; segment++) {
        arenas.push(gpu.createBuffer({
          label: `kv.${layer}.${segment}`,
          size,
          usage: BufferUsage.storage | BufferUsage.copySrc |
            BufferUsage.copyDst,
        }));
      }
    }
    const keyStride = rowStride(this.#format, this.headDim);
    const valueStride = rowStride(this.#format, this.valueHeadDim);
    const valueAt = this.segmentBlocks * this.blockSize * this.kvHeads *
      keyStride;
    const slotCount = this.segmentBlocks * this.blockSize;
    for (let segment = 0; segment < segments; segment++) {
      this.#appendParams.push(this.#uniforms(APPEND_PARAMS, {
        kv_heads: this.kvHeads,
        head_dim: this.headDim,
        head_vecs: Math.ceil(this.headDim / 4),
        value_dim: this.valueHeadDim,
        value_vecs: Math.ceil(this.valueHeadDim / 4),
        key_stride: this.#stride(this.headDim),
        value_stride: this.#stride(this.valueHeadDim),
        arena_key_stride: keyStride,
        arena_value_stride: valueStride,
        value_at: valueAt,
        first_slot: segment * slotCount,
        slot_count: slotCount,
        rotary_pairs: this.ropeDim / 2,
      }));
    }
    this.#copyParams = this.#uniforms(COPY_PARAMS, {
      key_block: this.blockSize * this.kvHeads * keyStride,
      value_block: this.blockSize * this.kvHeads * valueStride,
      key_row: this.kvHeads * keyStride,
      value_row: this.kvHeads * valueStride,
      value_at: valueAt,
    });
  }

  /** The stride of new rows, which are tensors of their own. */
  #stride(dim: number): number {
    return rowStride(rowFormat(this.dtype, dim), dim);
  }

  /** An empty sequence. */
  createSequence(): BlockTable {
    this.#check();
    return new BlockTable(this.pool);
  }

  /** The arenas of a layer, in order. */
  arenas(layer = 0): readonly GpuBuffer[] {
    this.#check();
    checkInteger("layer", layer, 0, this.layers - 1);
    return this.#arenas[layer];
  }

  /**
   * Carries out appends on one layer: copies what copy-on-write asks for (of
   * all layers), then writes the new rows. Submits at once. With several
   * layers, give `copies: false` from the second on.
   *
   * @param appends What `BlockTable.append` returned, in that order.
   * @throws {TypeError} if a tensor does not fit
   * @throws {RangeError} if a slot or a block does not exist
   */
  append(
    appends: readonly {
      readonly slots: Uint32Array;
      readonly copies: readonly BlockCopy[];
    }[],
    rows: Omit<AppendRows, "slots">,
    options: { readonly copies?: boolean } = {},
  ): void {
    this.#check();
    const total = appends.reduce((sum, { slots }) => sum + slots.length, 0);
    const slots = new Uint32Array(total);
    let at = 0;
    for (const append of appends) {
      slots.set(append.slots, at);
      at += append.slots.length;
    }
    checkSlots(this, slots);
    const made = this.gpu.tensor(slots, [total], "kv.slots");
    try {
      this.gpu.submit("kv.append", (encoder) => {
        if (options.copies !== false) {
          this.encodeCopies(encoder, appends.flatMap(({ copies }) => copies));
        }
        this.encodeAppend(encoder, { ...rows, slots: made });
      });
    } finally {
      made.destroy();
    }
  }

  /**
   * Records the writing of new rows into their slots; nothing else changes.
   *
   * @throws {TypeError} if a tensor does not fit
   */
  encodeAppend(encoder: GPUCommandEncoder, rows: AppendRows): void {
    this.#check();
    checkAppendRows(this, rows);
    const { key, value, slots, rotation } = rows;
    const tokens = slots.size;
    if (tokens === 0) return;
    const work = Math.ceil(tokens * this.kvHeads / APPEND_LANES);
    const [x, y, z] = foldGrid(work, this.gpu.limits);
    this.arenas(rows.layer).forEach((arena, segment) => {
      const resources = {
        key,
        value,
        // Without the tensor's padding: the kernel takes its length for tokens.
        slots: { buffer: slots.buffer, offset: slots.offset, size: 4 * tokens },
        arena,
        params: this.#appendParams[segment],
        ...(rotation &&
          { positions: rotation.positions, rotary: rotation.table }),
      };
      this.#run(encoder, this.#append, resources, [x, y * z, 1]);
    });
  }

  /**
   * Records block copies in all layers, in order: a copy may read what an
   * earlier one wrote.
   *
   * @throws {RangeError} if a block does not exist
   */
  encodeCopies(
    encoder: GPUCommandEncoder,
    copies: readonly BlockCopy[],
  ): void {
    this.#check();
    checkCopies(this, copies);
    const batches = copyBatches(copies, {
      segmentBlocks: this.segmentBlocks,
      most: this.gpu.limits.maxComputeWorkgroupsPerDimension,
    });
    for (const { from, to, triples } of batches) {
      const words = this.#transient("kv.copies", triples);
      for (const arenas of this.#arenas) {
        const resources = {
          copies: words,
          destination: arenas[to],
          params: this.#copyParams,
          ...(from !== to && { source: arenas[from] }),
        };
        const kernel = from === to ? this.#copy : this.#cross;
        this.#run(encoder, kernel, resources, [triples.length / 3, 1, 1]);
      }
    }
  }

  /**
   * Frees the arenas; further calls do nothing. Tables of the pool stay valid
   * as bookkeeping.
   */
  destroy(): void {
    this.#destroyed = true;
    for (const arena of this.#arenas.flat()) arena.destroy();
    for (const params of this.#appendParams) params.destroy();
    this.#copyParams?.destroy();
  }

  /** The same as {@linkcode KvCache.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.gpu.check();
    checkType(!this.#destroyed, "cache", "must not be destroyed", "destroyed");
  }

  #uniforms<F extends UniformFields>(
    fields: F,
    values: { readonly [K in keyof F]: number },
  ): GpuBuffer {
    const bytes = packUniforms(fields, values);
    const buffer = this.gpu.createBuffer({
      label: "kv.params",
      size: bytes.byteLength,
      usage: BufferUsage.uniform | BufferUsage.copyDst,
    });
    this.gpu.queue.writeBuffer(buffer.buffer, 0, bytes);
    return buffer;
  }

  /**
   * A buffer for one recording, which the garbage collector frees with it:
   * the encoder may be submitted at any later time.
   */
  #transient(label: string, words: Uint32Array): GPUBuffer {
    const buffer = this.gpu.device.createBuffer({
      label,
      size: Math.max(16, words.byteLength),
      usage: BufferUsage.storage,
      mappedAtCreation: true,
    });
    new Uint32Array(buffer.getMappedRange()).set(words);
    buffer.unmap();
    return buffer;
  }

  #run(
    encoder: GPUCommandEncoder,
    kernel: CompiledKernel,
    resources: Parameters<Gpu["bind"]>[1],
    grid: readonly [number, number, number],
  ): void {
    const group = this.gpu.bind(kernel, resources);
    const pass = encoder.beginComputePass({ label: kernel.label });
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
    pass.end();
  }
}

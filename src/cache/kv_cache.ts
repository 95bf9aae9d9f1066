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
  SKIP_SLOT,
} from "../../kernels/cache/append.ts";
import {
  COPY_PARAMS,
  copyBlocksKernel,
} from "../../kernels/cache/copy_blocks.ts";
import {
  type RowFormat,
  rowFormat,
  rowStride,
  SEGMENT_SHIFT,
} from "../../kernels/fragments/rows.ts";
import { packUniforms, type UniformFields } from "../../kernels/wgsl.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { bytesPerElement, type DType } from "../core/dtype.ts";
import {
  BufferUsage,
  type CompiledKernel,
  foldGrid,
  type Gpu,
  type GpuBuffer,
  type GpuTensor,
} from "../gpu/mod.ts";
import { BlockPool, DEFAULT_BLOCK_SIZE } from "./block_pool.ts";
import { type BlockCopy, BlockTable } from "./block_table.ts";

/** How large a {@linkcode KvCache} is, and what it holds. */
export interface KvCacheOptions {
  /** Blocks a layer, the null block included. */
  readonly numBlocks: number;
  /** Tokens of a block; 16 by default. */
  readonly blockSize?: number;
  /** Layers, all with the same shape and tables; 1 by default. */
  readonly layers?: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a key row. */
  readonly headDim: number;
  /** Elements of a value row; `headDim` by default. */
  readonly valueHeadDim?: number;
  /** The storage type; f32 by default. */
  readonly dtype?: DType;
  /**
   * Bytes of one arena at most; by default what the device can bind at once.
   * A cache that needs more has several arenas a layer.
   */
  readonly maxArenaBytes?: number;
  /** How `append` rotates keys (RoPE); not at all by default. */
  readonly rope?: "interleaved" | "half-split";
}

/** Where new keys stand, for a cache that rotates them. */
export interface AppendRotation {
  /** `u32[tokens]`: true positions, each a row of the table. */
  readonly positions: GpuTensor;
  /** `[positions, pairs, 2]`, f32: see {@linkcode rotaryTable}. */
  readonly table: GpuTensor;
}

/** New keys and values, and where they go. */
export interface AppendRows {
  /** The layer; 0 by default. */
  readonly layer?: number;
  /** `[tokens, kvHeads, headDim]`. */
  readonly key: GpuTensor;
  /** `[tokens, kvHeads, valueHeadDim]`. */
  readonly value: GpuTensor;
  /** `u32[tokens]`: what `BlockTable.append` returned. */
  readonly slots: GpuTensor;
  /** For a cache with `rope`: how to rotate the keys. */
  readonly rotation?: AppendRotation;
}

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
  /** How `append` rotates keys, if it does. */
  readonly rope: "interleaved" | "half-split" | undefined;
  /** Arenas a layer. */
  readonly segments: number;
  /** Blocks of an arena; the last one may be partly unused. */
  readonly segmentBlocks: number;
  /** Bytes of all arenas. */
  readonly byteLength: number;
  readonly #format: RowFormat;
  readonly #arenas: GpuBuffer[][] = [];
  #append!: CompiledKernel;
  #copy!: CompiledKernel;
  #cross!: CompiledKernel;
  #destroyed = false;

  private constructor(gpu: Gpu, options: KvCacheOptions) {
    const { numBlocks, blockSize = DEFAULT_BLOCK_SIZE, layers = 1 } = options;
    const { kvHeads, headDim, valueHeadDim = headDim } = options;
    const { dtype = "f32" } = options;
    checkInteger("layers", layers, 1);
    checkInteger("kvHeads", kvHeads, 1);
    checkInteger("headDim", headDim, 1, 256);
    checkInteger("valueHeadDim", valueHeadDim, 1, 256);
    checkType(
      options.rope === undefined || options.rope === "interleaved" ||
        options.rope === "half-split",
      "rope",
      'must be "interleaved" or "half-split"',
      options.rope,
    );
    checkType(
      dtype === "f32" || dtype === "f16",
      "dtype",
      'must be "f32" or "f16"',
      dtype,
    );
    this.pool = new BlockPool({ numBlocks, blockSize });
    const blockBytes = blockSize * kvHeads * (headDim + valueHeadDim) *
      bytesPerElement(dtype);
    const limit = Math.min(
      gpu.limits.maxBufferSize,
      gpu.limits.maxStorageBufferBindingSize,
    );
    const { maxArenaBytes = limit } = options;
    checkInteger("maxArenaBytes", maxArenaBytes, 1);
    checkRange(
      maxArenaBytes <= limit,
      "maxArenaBytes",
      `must be <= what the device can bind (${limit})`,
      maxArenaBytes,
    );
    this.#format = rowFormat(dtype, headDim, valueHeadDim);
    const most = mostBlocks({
      numBlocks,
      blockBytes,
      maxArenaBytes,
      unitBytes: bytesPerElement(dtype) * (this.#format.vector ? 4 : 1),
    });
    checkRange(
      most >= 1,
      "a block's bytes",
      `must be <= maxArenaBytes (${maxArenaBytes})`,
      blockBytes,
    );
    this.gpu = gpu;
    this.numBlocks = numBlocks;
    this.blockSize = blockSize;
    this.layers = layers;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.valueHeadDim = valueHeadDim;
    this.dtype = dtype;
    this.rope = options.rope;
    this.segments = Math.ceil(numBlocks / most);
    this.segmentBlocks = Math.ceil(numBlocks / this.segments);
    const arenaBytes = this.segmentBlocks * blockBytes;
    this.byteLength = layers * this.segments * arenaBytes;
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
        rope: options.rope,
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
    const size = Math.ceil(
      this.byteLength / this.layers / this.segments / 16,
    ) * 16;
    for (let layer = 0; layer < this.layers; layer++) {
      const arenas: GpuBuffer[] = [];
      this.#arenas.push(arenas);
      for (let segment = 0; segment < this.segments; segment++) {
        arenas.push(this.gpu.createBuffer({
          label: `kv.${layer}.${segment}`,
          size,
          usage: BufferUsage.storage | BufferUsage.copySrc |
            BufferUsage.copyDst,
        }));
      }
    }
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
    this.#checkSlots(slots);
    const made = this.gpu.tensor(slots, [total], "kv.slots");
    try {
      this.#checkRows({ ...rows, slots: made });
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
    this.#checkRows(rows);
    const tokens = rows.slots.size;
    if (tokens === 0) return;
    const { headDim, valueHeadDim, kvHeads, dtype } = this;
    const work = Math.ceil(tokens * kvHeads / APPEND_LANES);
    const grid = foldGrid(work, this.gpu.limits);
    const segmentSlots = this.segmentBlocks * this.blockSize;
    this.arenas(rows.layer).forEach((arena, segment) => {
      const params = this.#uniforms(APPEND_PARAMS, {
        tokens,
        kv_heads: kvHeads,
        head_dim: headDim,
        head_vecs: Math.ceil(headDim / 4),
        value_dim: valueHeadDim,
        value_vecs: Math.ceil(valueHeadDim / 4),
        key_stride: rowStride(rowFormat(dtype, headDim), headDim),
        value_stride: rowStride(rowFormat(dtype, valueHeadDim), valueHeadDim),
        arena_key_stride: rowStride(this.#format, headDim),
        arena_value_stride: rowStride(this.#format, valueHeadDim),
        value_at: this.#valueAt(),
        first_slot: segment * segmentSlots,
        slot_count: segmentSlots,
        grid_width: grid[0],
        rotary_pairs: rows.rotation?.table.shape[1] ?? 0,
      });
      const { key, value, slots, rotation } = rows;
      const resources = {
        key,
        value,
        slots,
        arena,
        params,
        ...(rotation &&
          { positions: rotation.positions, rotary: rotation.table }),
      };
      this.#run(encoder, this.#append, resources, [
        grid[0],
        grid[1] * grid[2],
        1,
      ]);
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
    copies.forEach(({ source, destination, rows }, i) => {
      checkInteger(`copies[${i}].source`, source, 0, this.numBlocks - 1);
      checkInteger(
        `copies[${i}].destination`,
        destination,
        1,
        this.numBlocks - 1,
      );
      checkInteger(`copies[${i}].rows`, rows, 0, this.blockSize);
    });
    for (const batch of independent(copies)) {
      for (const [from, to, triples] of this.#bySegments(batch)) {
        for (let layer = 0; layer < this.layers; layer++) {
          this.#encodeCopy(encoder, layer, from, to, triples);
        }
      }
    }
  }

  #encodeCopy(
    encoder: GPUCommandEncoder,
    layer: number,
    from: number,
    to: number,
    triples: Uint32Array,
  ): void {
    const { blockSize, kvHeads, headDim, valueHeadDim } = this;
    const keyRow = kvHeads * rowStride(this.#format, headDim);
    const valueRow = kvHeads * rowStride(this.#format, valueHeadDim);
    const params = this.#uniforms(COPY_PARAMS, {
      copy_count: triples.length / 3,
      key_block: blockSize * keyRow,
      value_block: blockSize * valueRow,
      key_row: keyRow,
      value_row: valueRow,
      value_at: this.#valueAt(),
    });
    const copies = this.#transient("kv.copies", triples, BufferUsage.storage);
    const destination = this.#arenas[layer][to];
    const source = this.#arenas[layer][from];
    const grid: [number, number, number] = [triples.length / 3, 1, 1];
    if (from === to) {
      this.#run(encoder, this.#copy, { copies, destination, params }, grid);
    } else {
      this.#run(
        encoder,
        this.#cross,
        { copies, source, destination, params },
        grid,
      );
    }
  }

  /** Copies by (source arena, destination arena), as local triples. */
  #bySegments(
    copies: readonly BlockCopy[],
  ): [from: number, to: number, triples: Uint32Array][] {
    const groups = new Map<string, [number, number, number[]]>();
    const most = 3 * this.gpu.limits.maxComputeWorkgroupsPerDimension;
    for (const { source, destination, rows } of copies) {
      const from = Math.floor(source / this.segmentBlocks);
      const to = Math.floor(destination / this.segmentBlocks);
      let key = `${from},${to}`;
      while ((groups.get(key)?.[2].length ?? 0) >= most) key += "+";
      const group = groups.get(key) ?? [from, to, []];
      groups.set(key, group);
      group[2].push(
        source % this.segmentBlocks,
        destination % this.segmentBlocks,
        rows,
      );
    }
    return [...groups.values()].map((
      [from, to, triples],
    ) => [from, to, Uint32Array.from(triples)]);
  }

  /**
   * Frees the arenas; further calls do nothing. Tables of the pool stay valid
   * as bookkeeping.
   */
  destroy(): void {
    this.#destroyed = true;
    for (const arena of this.#arenas.flat()) arena.destroy();
  }

  /** The same as {@linkcode KvCache.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.gpu.check();
    checkType(!this.#destroyed, "cache", "must not be destroyed", "destroyed");
  }

  #checkSlots(slots: Uint32Array): void {
    const capacity = this.numBlocks * this.blockSize;
    slots.forEach((slot, i) =>
      checkRange(
        slot < capacity || slot === SKIP_SLOT,
        `slots[${i}]`,
        `must be < ${capacity}, the slots of ${this.numBlocks} blocks`,
        slot,
      )
    );
  }

  #checkRotation(rotation: AppendRotation | undefined, tokens: number): void {
    checkType(
      (rotation !== undefined) === (this.rope !== undefined),
      "rotation",
      this.rope
        ? "must be given, as the cache rotates keys"
        : "must not be given, as the cache does not rotate keys",
      rotation,
    );
    if (!rotation) return;
    const { positions, table } = rotation;
    for (
      const [name, tensor, dtype] of [
        ["positions", positions, "u32"],
        ["table", table, "f32"],
      ] as const
    ) {
      checkType(
        tensor?.gpu === this.gpu && tensor.dtype === dtype,
        `rotation.${name}`,
        `must be a ${dtype} tensor of the cache's Gpu`,
        tensor,
      );
      void tensor.buffer;
    }
    checkType(
      positions.size === tokens,
      "rotation.positions.size",
      `must be ${tokens}, the number of tokens`,
      positions.size,
    );
    checkType(
      table.shape.length === 3 && table.shape[2] === 2 &&
        2 * table.shape[1] <= this.headDim,
      "rotation.table.shape",
      `must be [positions, pairs <= headDim / 2 (${this.headDim / 2}), 2]`,
      table.shape,
    );
  }

  #checkRows({ layer = 0, key, value, slots, rotation }: AppendRows): void {
    this.#check();
    checkInteger("layer", layer, 0, this.layers - 1);
    checkType(
      slots?.gpu === this.gpu,
      "slots",
      "must be a tensor of the cache's Gpu",
      slots,
    );
    checkType(slots.dtype === "u32", "slots.dtype", "must be u32", slots.dtype);
    this.#checkRotation(rotation, slots.size);
    const rows = slots.size * this.kvHeads;
    const sizes = [
      ["key", key, rows * this.headDim],
      ["value", value, rows * this.valueHeadDim],
    ] as const;
    for (const [name, tensor, size] of sizes) {
      checkType(
        tensor?.gpu === this.gpu,
        name,
        "must be a tensor of the cache's Gpu",
        tensor,
      );
      checkType(
        tensor.dtype === this.dtype,
        `${name}.dtype`,
        `must be ${this.dtype}`,
        tensor.dtype,
      );
      checkType(
        tensor.size === size,
        `${name}.size`,
        `must be ${size}, for ${slots.size} tokens`,
        tensor.size,
      );
      void tensor.buffer;
    }
  }

  #valueAt(): number {
    return this.segmentBlocks * this.blockSize * this.kvHeads *
      rowStride(this.#format, this.headDim);
  }

  #uniforms<F extends UniformFields>(
    fields: F,
    values: { readonly [K in keyof F]: number },
  ): GPUBuffer {
    const bytes = new Uint32Array(packUniforms(fields, values));
    return this.#transient("kv.params", bytes, BufferUsage.uniform);
  }

  /**
   * A buffer for one recording, which the garbage collector frees with it:
   * the encoder may be submitted at any later time.
   */
  #transient(label: string, words: Uint32Array, usage: number): GPUBuffer {
    const buffer = this.gpu.device.createBuffer({
      label,
      size: Math.max(16, words.byteLength),
      usage,
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

/**
 * Blocks of an arena at most. Where there are several arenas, kernels keep the
 * arena's number in an address' upper bits, which leaves less for the rest.
 */
function mostBlocks({ numBlocks, blockBytes, maxArenaBytes, unitBytes }: {
  numBlocks: number;
  blockBytes: number;
  maxArenaBytes: number;
  unitBytes: number;
}): number {
  const most = Math.floor(maxArenaBytes / blockBytes);
  if (numBlocks <= most) return most;
  const addressable = (2 ** SEGMENT_SHIFT - 1) * unitBytes;
  return Math.min(most, Math.floor(addressable / blockBytes));
}

/**
 * Consecutive copies in batches of which none reads or overwrites what another
 * touches, since a dispatch has no order within.
 */
function independent(copies: readonly BlockCopy[]): BlockCopy[][] {
  const batches: BlockCopy[][] = [];
  let written = new Set<number>();
  let read = new Set<number>();
  for (const copy of copies) {
    const conflict = written.has(copy.source) ||
      written.has(copy.destination) || read.has(copy.destination);
    if (batches.length === 0 || conflict) {
      batches.push([]);
      written = new Set();
      read = new Set();
    }
    batches[batches.length - 1].push(copy);
    written.add(copy.destination);
    read.add(copy.source);
  }
  return batches;
}

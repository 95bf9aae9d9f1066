/**
 * Copies of blocks on the device, bit for bit: within a cache's arenas, and
 * between them and what is laid out otherwise.
 *
 * @module
 */

import {
  COPY_PARAMS,
  copyBlocksKernel,
  copyUnit,
} from "../../kernels/cache/copy_blocks.ts";
import { bytesPerElement, type DType } from "../core/dtype.ts";
import type { CompiledKernel, Gpu, GpuBuffer } from "../gpu/mod.ts";
import { encodeKernel, transientBuffer, uniformBuffer } from "./kv_commands.ts";

/** What a block holds. */
export interface BlockShape {
  /** Tokens of a block. */
  readonly blockSize: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a key row. */
  readonly headDim: number;
  /** Elements of a value row. */
  readonly valueHeadDim: number;
  /** The storage type. */
  readonly dtype: DType;
}

/** Where the blocks of a buffer are, in bytes; the keys of block 0 at 0. */
export interface BlockLayout {
  /** From the keys of one block to those of the next. */
  readonly keyBlock: number;
  /** From the values of one block to those of the next. */
  readonly valueBlock: number;
  /** Where the values of block 0 are. */
  readonly valueAt: number;
}

/** Bytes of a token's keys, and of its values, of one layer. */
export function tokenBytes(
  shape: BlockShape,
): { key: number; value: number } {
  const bytes = shape.kvHeads * bytesPerElement(shape.dtype);
  return { key: bytes * shape.headDim, value: bytes * shape.valueHeadDim };
}

/** An arena of `blocks` blocks: the keys of all, then the values of all. */
export function arenaLayout(shape: BlockShape, blocks: number): BlockLayout {
  const { key, value } = tokenBytes(shape);
  const keyBlock = shape.blockSize * key;
  const valueBlock = shape.blockSize * value;
  return { keyBlock, valueBlock, valueAt: blocks * keyBlock };
}

/** Blocks one after the other, each its keys and then its values. */
export function packedLayout(shape: BlockShape): BlockLayout {
  const { keyBlock, valueBlock } = arenaLayout(shape, 1);
  const block = keyBlock + valueBlock;
  return { keyBlock: block, valueBlock: block, valueAt: keyBlock };
}

/** Where copies read and write. */
export interface CopyBuffers {
  /** The buffer that is read. */
  readonly source: GpuBuffer;
  /** The buffer that is written; may be the same. */
  readonly destination: GpuBuffer;
}

/** The layouts of both sides of a copy. */
export interface CopyLayouts {
  /** Of what is read. */
  readonly source: BlockLayout;
  /** Of what is written. */
  readonly destination: BlockLayout;
}

/** Copies blocks of one shape from buffers of one layout to another. */
export class BlockCopier implements Disposable {
  readonly #gpu: Gpu;
  readonly #within: CompiledKernel;
  readonly #crossing: CompiledKernel;
  readonly #params: GpuBuffer;

  private constructor(
    gpu: Gpu,
    kernels: readonly CompiledKernel[],
    params: GpuBuffer,
  ) {
    this.#gpu = gpu;
    [this.#within, this.#crossing] = kernels;
    this.#params = params;
  }

  /** Compiles the kernels. */
  static async create(
    gpu: Gpu,
    shape: BlockShape,
    { source, destination }: CopyLayouts,
  ): Promise<BlockCopier> {
    const row = tokenBytes(shape);
    const unit = copyUnit(row);
    const kernels = await Promise.all(
      [false, true].map((crossing) =>
        gpu.pipeline(copyBlocksKernel({ unit, crossing }))
      ),
    );
    const params = uniformBuffer(gpu, COPY_PARAMS, {
      key_row: row.key / unit,
      value_row: row.value / unit,
      source_key_block: source.keyBlock / unit,
      source_value_block: source.valueBlock / unit,
      source_value_at: source.valueAt / unit,
      destination_key_block: destination.keyBlock / unit,
      destination_value_block: destination.valueBlock / unit,
      destination_value_at: destination.valueAt / unit,
    });
    return new BlockCopier(gpu, kernels, params);
  }

  /**
   * Records the same copies for each pair of buffers.
   *
   * @param triples (source, destination, rows) of each block, in no order; at
   * most as many as a grid has workgroups in one dimension.
   */
  encode(
    encoder: GPUCommandEncoder,
    triples: Uint32Array,
    pairs: readonly CopyBuffers[],
  ): void {
    const copies = transientBuffer(this.#gpu, "kv.copies", triples);
    for (const { source, destination } of pairs) {
      const crossing = source !== destination;
      encodeKernel(this.#gpu, encoder, {
        kernel: crossing ? this.#crossing : this.#within,
        resources: {
          copies,
          ...(crossing && { source }),
          destination,
          params: this.#params,
        },
        grid: [triples.length / 3, 1, 1],
      });
    }
  }

  /** Frees the uniforms; further calls do nothing. */
  destroy(): void {
    this.#params.destroy();
  }

  /** The same as {@linkcode BlockCopier.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

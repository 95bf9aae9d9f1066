/**
 * Copies of blocks on the device, bit for bit: within a cache's arenas, and
 * between them and what is laid out otherwise.
 *
 * @module
 */

import {
  copyBlocksKernel,
  copyChunks,
  copyUnit,
} from "../../kernels/cache/copy_blocks.ts";
import { bytesPerElement, type DType } from "../core/dtype.ts";
import type { KernelSource } from "../core/kernel.ts";
import {
  type BindingResource,
  type Dispatch,
  type Gpu,
  Program,
} from "../gpu/mod.ts";

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

/** The layouts of both sides of a copy. */
export interface CopyLayouts {
  /** Of what is read. */
  readonly source: BlockLayout;
  /** Of what is written. */
  readonly destination: BlockLayout;
}

/** Copies between two buffers, or within one, that one dispatch carries out. */
export interface NamedCopies {
  /** The name of the buffer that is read. */
  readonly from: string;
  /** The name of the buffer that is written; may be the same. */
  readonly to: string;
  /**
   * (source, destination, rows) of each block, in no order; at most as many as
   * a grid has workgroups in one dimension.
   */
  readonly triples: Uint32Array;
}

/** Copies blocks of one shape from buffers of one layout to another. */
export class BlockCopier implements Disposable {
  readonly #within: KernelSource;
  readonly #crossing: KernelSource;
  readonly #uniforms: Readonly<Record<string, number>>;
  readonly #chunks: number;
  readonly #program: Program;

  private constructor(
    gpu: Gpu,
    shape: BlockShape,
    { source, destination }: CopyLayouts,
  ) {
    const row = tokenBytes(shape);
    const unit = copyUnit(row);
    const { chunk, chunks } = copyChunks(
      shape.blockSize * Math.max(row.key, row.value) / unit,
      gpu.limits.maxComputeWorkgroupsPerDimension,
    );
    this.#within = copyBlocksKernel({ unit, crossing: false });
    this.#crossing = copyBlocksKernel({ unit, crossing: true });
    this.#uniforms = {
      chunk,
      key_row: row.key / unit,
      value_row: row.value / unit,
      source_key_block: source.keyBlock / unit,
      source_value_block: source.valueBlock / unit,
      source_value_at: source.valueAt / unit,
      destination_key_block: destination.keyBlock / unit,
      destination_value_block: destination.valueBlock / unit,
      destination_value_at: destination.valueAt / unit,
    };
    this.#chunks = chunks;
    this.#program = new Program(gpu, "kv.copy");
  }

  /** Compiles the kernels. */
  static async create(
    gpu: Gpu,
    shape: BlockShape,
    layouts: CopyLayouts,
  ): Promise<BlockCopier> {
    const copier = new BlockCopier(gpu, shape, layouts);
    await copier.#program.compile([copier.#within, copier.#crossing]);
    return copier;
  }

  /** Takes the copies that are to be recorded, each batch after the last. */
  update(batches: readonly NamedCopies[]): void {
    const total = batches.reduce((sum, { triples }) => sum + triples.length, 0);
    const copies = new Uint32Array(total);
    let at = 0;
    const dispatches = batches.map(({ from, to, triples }): Dispatch => {
      const first = at / 3;
      copies.set(triples, at);
      at += triples.length;
      return {
        source: from === to ? this.#within : this.#crossing,
        uniforms: { ...this.#uniforms, first_copy: first },
        grid: [triples.length / 3, this.#chunks, 1],
        aliases: { destination: to, ...(from !== to && { source: from }) },
      };
    });
    this.#program.update({ dispatches, words: { copies } });
  }

  /** Records them, over the buffers of their names. */
  encode(
    encoder: GPUCommandEncoder,
    buffers: Readonly<Record<string, BindingResource>>,
  ): void {
    this.#program.encode(encoder, buffers);
  }

  /** Frees its buffers; further calls do nothing. */
  destroy(): void {
    this.#program.destroy();
  }

  /** The same as {@linkcode BlockCopier.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

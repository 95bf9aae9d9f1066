/**
 * Arenas of rows on the device and the commands that write them: all of a KV
 * cache but the question which rows belong to whom.
 *
 * @module
 */

import { checkInteger, checkType } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import { type Gpu, type GpuBuffer, TENSOR_USAGE } from "../gpu/mod.ts";
import type { BlockCopy, Reservation } from "../cache/block/table_types.ts";
import { RowAppender } from "./appender.ts";
import { arenaLayout, BlockCopier } from "./copier.ts";
import type { CacheSizes, KvCacheOptions } from "./sizes.ts";
import {
  type AppendRows,
  checkAppendRows,
  checkCopies,
  checkOrder,
  checkSlots,
} from "./rows.ts";
import { copyBatches } from "./copy_batches.ts";

/**
 * What a paged and a contiguous KV cache have in common. Each layer has arenas
 * of blocks, keys `[blocks, blockSize, kvHeads, headDim]` first, then values;
 * block b is in arena `floor(b / segmentBlocks)`.
 */
export abstract class KvArenas implements Disposable {
  /** The device. */
  readonly gpu: Gpu;
  /** Blocks a layer. */
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
  /** The first block that may be written: 1 where block 0 is the null block. */
  abstract readonly firstBlock: number;
  readonly #sizes: CacheSizes;
  readonly #arenas: GpuBuffer[][] = [];
  #appender: RowAppender | undefined;
  #copier: BlockCopier | undefined;
  #destroyed = false;

  /** Takes checked sizes; `open` then allocates. */
  protected constructor(gpu: Gpu, sizes: CacheSizes) {
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
    this.byteLength = sizes.layers * sizes.segments * sizes.segmentBlocks *
      sizes.blockBytes;
    this.#sizes = sizes;
  }

  /** Compiles what a cache needs and allocates it; on an error nothing is left. */
  protected async open(rope: KvCacheOptions["rope"]): Promise<this> {
    const { gpu } = this;
    const arena = arenaLayout(this, this.segmentBlocks);
    try {
      this.#appender = await RowAppender.create(gpu, this.#sizes, rope);
      this.#copier = await BlockCopier.create(gpu, this, {
        source: arena,
        destination: arena,
      });
      await gpu.scoped("allocate a KV cache", () => this.#allocate());
    } catch (error) {
      this.destroy();
      throw error;
    }
    return this;
  }

  #allocate(): void {
    const { gpu, layers, segments, segmentBlocks } = this;
    const size = Math.ceil(segmentBlocks * this.#sizes.blockBytes / 16) * 16;
    for (let layer = 0; layer < layers; layer++) {
      const arenas: GpuBuffer[] = [];
      this.#arenas.push(arenas);
      for (let segment = 0; segment < segments; segment++) {
        const label = `kv.${layer}.${segment}`;
        arenas.push(gpu.createBuffer({ label, size, usage: TENSOR_USAGE }));
      }
    }
  }

  /** The arenas of a layer, in order. */
  arenas(layer = 0): readonly GpuBuffer[] {
    this.check();
    checkInteger("layer", layer, 0, this.layers - 1);
    return this.#arenas[layer];
  }

  /**
   * Carries out appends on one layer: copies what copy-on-write asks for (of
   * all layers), then writes the new rows. Submits at once. With several
   * layers, give `copies: false` from the second on.
   *
   * @param reservations What `reserve` of sequences returned, in that order.
   * @throws {TypeError} if a tensor does not fit
   * @throws {RangeError} if a slot or a block does not exist, or a reservation
   * copies rows that an earlier one of the same call is yet to write
   */
  append(
    reservations: readonly Reservation[],
    rows: Omit<AppendRows, "slots">,
    options: { readonly copies?: boolean } = {},
  ): void {
    this.check();
    const total = reservations.reduce(
      (sum, { slots }) => sum + slots.length,
      0,
    );
    const slots = new Uint32Array(total);
    let at = 0;
    for (const reservation of reservations) {
      slots.set(reservation.slots, at);
      at += reservation.slots.length;
    }
    checkSlots(this, slots);
    const made = this.gpu.tensor(slots, [total], "kv.slots");
    try {
      this.gpu.submit("kv.append", (encoder) => {
        if (options.copies !== false) {
          checkOrder(this, reservations);
          this.encodeCopies(
            encoder,
            reservations.flatMap(({ copies }) => copies),
          );
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
    this.check();
    checkAppendRows(this, rows);
    this.#appender!.encode(encoder, rows, this.arenas(rows.layer));
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
    this.check();
    checkCopies(this, copies);
    const batches = copyBatches(copies, {
      segmentBlocks: this.segmentBlocks,
      most: this.gpu.limits.maxComputeWorkgroupsPerDimension,
    });
    for (const { from, to, triples } of batches) {
      const pairs = this.#arenas.map((arenas) => ({
        source: arenas[from],
        destination: arenas[to],
      }));
      this.#copier!.encode(encoder, triples, pairs);
    }
  }

  /**
   * Frees the arenas; further calls do nothing. Sequences stay valid as
   * bookkeeping.
   */
  destroy(): void {
    this.#destroyed = true;
    for (const arena of this.#arenas.flat()) arena.destroy();
    this.#appender?.destroy();
    this.#copier?.destroy();
  }

  /** The same as {@linkcode KvArenas.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Throws unless the device is there and the cache not destroyed. */
  protected check(): void {
    this.gpu.check();
    checkType(!this.#destroyed, "cache", "must not be destroyed", "destroyed");
  }
}

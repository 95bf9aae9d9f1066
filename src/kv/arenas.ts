/**
 * Arenas of rows on the device and the commands that write them: all of a KV
 * cache but the question which rows belong to whom.
 *
 * @module
 */

import { checkInteger, checkType } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import type { Gpu, GpuBuffer, GpuTensor } from "../gpu/mod.ts";
import { TENSOR_USAGE } from "../gpu/buffers/usage.ts";
import type { BlockTable } from "../cache/block/block_table.ts";
import type { ContiguousSequence } from "../cache/extent/contiguous_sequence.ts";
import type { CacheSequence } from "../cache/manager/cache_sequence.ts";
import type { BlockCopy, Reservation } from "../cache/block/table_types.ts";
import { RowAppender } from "./appender.ts";
import { arenaName, arenasByName } from "./arena_names.ts";
import { arenaLayout, BlockCopier } from "./copier.ts";
import { copyBatches } from "./copy_batches.ts";
import {
  readRows,
  type ReadRowsOptions,
  type SequenceRows,
} from "./read_rows.ts";
import { PendingCopies } from "./pending_copies.ts";
import {
  checkRequests,
  type GivenReservation,
  reservationsOf,
  type ReserveRequest,
} from "./requests.ts";
import {
  type AllLayerRows,
  checkAllRows,
  checkCopies,
  checkOrder,
  checkSlots,
  type LayerRows,
  uploadRows,
} from "./rows.ts";
import type { CacheSizes, KvCacheOptions } from "./sizes.ts";
import { CacheStep, type StepHost, type StepPart } from "./step.ts";

/**
 * What a paged and a contiguous KV cache have in common. Each layer has arenas
 * of blocks, keys `[blocks, blockSize, kvHeads, headDim]` first, then values;
 * block b is in arena `floor(b / segmentBlocks)`.
 *
 * Tokens are added in three steps: {@linkcode KvArenas.reserve} gives them
 * slots, the {@linkcode CacheStep} that it returns is written layer by layer,
 * and committed. {@linkcode KvArenas.append} does all three at once.
 *
 * @category Cache
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
  /** Rotated elements of a key; 0 where keys are written as they are. */
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
  readonly #pending: PendingCopies = new PendingCopies();
  readonly #host: StepHost;
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
    this.#host = {
      cache: this,
      check: () => this.check(),
      submit: (record) => this.#submit("kv.write", record),
      encode: (encoder, { serial, slots, rows }) =>
        this.#record(() => {
          this.#encodeCopies(encoder, this.#pending.take(serial));
          const arenas = this.#arenas[rows.layer ?? 0];
          this.#appender!.encode(encoder, slots, { rows, arenas });
        }),
      copy: (serial) => this.#copyPending(serial),
    };
  }

  /** Whether something is a sequence of this cache, which may be freed. */
  protected abstract isOwn(sequence: unknown): boolean;

  /** Gives the tokens of checked requests their slots: all of them or none. */
  protected abstract reserveAll(
    requests: readonly ReserveRequest[],
  ): Reservation[];

  /** The written tokens of a sequence, in order: the first, and their slots. */
  protected abstract writtenSlots(
    sequence: unknown,
    group: number,
  ): { readonly start: number; readonly slots: Uint32Array };

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
   * Gives tokens their slots, in all sequences or in none. The copies which that
   * asks for (copy-on-write, moves of what outgrows its place) are carried out
   * with the first write of the step, once for all layers.
   *
   * Write a step before its sequences are forked, and before more is reserved in
   * a sequence that may move.
   *
   * @throws {TypeError} if a sequence is not one of the cache or comes twice, or
   * a count is not a number
   * @throws {RangeError} if a count is not an integer >= 0, or a sequence would
   * be longer than it may be
   * @throws {OutOfBlocksError} if there is no room for all of them
   */
  reserve(requests: readonly ReserveRequest[]): CacheStep {
    this.check();
    checkRequests(requests, (sequence) => this.isOwn(sequence));
    const parts = requests.map(({ sequence, count }) => ({
      sequence,
      start: sequence.length,
      count,
    }));
    return this.#begin(this.reserveAll(requests), parts);
  }

  /**
   * Adds tokens to sequences with their rows: reserves, writes all layers and
   * commits. Submits at once. A call that throws leaves lengths and contents as
   * they were.
   *
   * @param rows Those of the only layer, or `{ layers: [...] }` with those of
   * each; on the device, or host arrays, which are uploaded.
   * @throws as {@linkcode KvArenas.reserve} does, and
   * @throws {TypeError} if a tensor does not fit, or rows are not of all layers
   */
  append(
    requests: readonly ReserveRequest[],
    rows: LayerRows | AllLayerRows,
  ): void {
    this.check();
    const tokens = checkRequests(requests, (sequence) => this.isOwn(sequence));
    const layers = checkAllRows(this, rows, tokens);
    const made: GpuTensor[] = [];
    try {
      const uploaded = layers.map((own) => {
        const layer = uploadRows(this.gpu, own);
        made.push(...layer.made);
        return layer.rows;
      });
      const step = this.reserve(requests);
      try {
        this.#submit("kv.append", (encoder) => {
          for (const own of uploaded) step.encode(encoder, own);
        });
      } catch (error) {
        this.#cancel(step);
        throw error;
      }
      step.commit();
    } finally {
      for (const tensor of made) tensor.destroy();
    }
  }

  /**
   * Reads back the written rows of a sequence, in the order of its tokens,
   * whatever blocks and arenas they lie in: what was submitted before, all of
   * it and no more. Keys of a cache with `rope` come as they are kept, rotated.
   *
   * @param sequence A sequence of the cache, or a manager's over its pool.
   * @throws {TypeError} if it is not a live sequence of the cache, or not
   * running
   * @throws {RangeError} if there is no such layer or group, or the rows are
   * more than one buffer of the device can hold
   *
   * @example What was appended
   * ```ts
   * import { KvCache, openGpu } from "@quire/attention";
   *
   * const gpu = await openGpu();
   * const cache = await KvCache.create(gpu, {
   *   numBlocks: 8,
   *   kvHeads: 1,
   *   headDim: 2,
   * });
   * const sequence = cache.createSequence();
   * cache.append([{ sequence, count: 2 }], {
   *   key: { data: Float32Array.from([1, 2, 3, 4]), shape: [2, 1, 2] },
   *   value: { data: Float32Array.from([5, 6, 7, 8]), shape: [2, 1, 2] },
   * });
   * const { key } = await cache.read(sequence);
   * console.log(key.data, key.shape); // 1 2 3 4, [2, 1, 2]
   * gpu.destroy();
   * ```
   */
  async read(
    sequence: BlockTable | ContiguousSequence | CacheSequence,
    options: ReadRowsOptions = {},
  ): Promise<SequenceRows> {
    this.check();
    const { layer = 0, group = 0, signal } = options;
    checkInteger("layer", layer, 0, this.layers - 1);
    checkInteger("group", group, 0);
    signal?.throwIfAborted();
    const { start, slots } = this.writtenSlots(sequence, group);
    this.copyPending();
    return { start, ...await readRows(this, slots, options) };
  }

  /**
   * A step over what somebody else has reserved, in this order; it is theirs to
   * commit. Of what a `CacheManager` or a scheduler has reserved, the slots and
   * copies of one layer group are taken.
   *
   * @param options `group`: the layer group; 0 by default.
   * @throws {TypeError} if they are no reservations
   * @throws {RangeError} if a slot, a block or the group does not exist, or a
   * reservation copies rows that an earlier one is yet to write
   */
  step(
    reservations: readonly GivenReservation[],
    options: { readonly group?: number } = {},
  ): CacheStep {
    this.check();
    const own = reservationsOf(reservations, options.group ?? 0);
    for (const { slots, copies } of own) {
      checkSlots(this, slots);
      checkCopies(this, copies);
    }
    checkOrder(this, own);
    return this.#begin(own);
  }

  /**
   * Copies blocks in all layers, in order: a copy may read what an earlier one
   * wrote. Submits at once.
   *
   * @throws {RangeError} if a block does not exist
   */
  copy(copies: readonly BlockCopy[]): void {
    this.check();
    this.#submit("kv.copy", (encoder) => this.encodeCopies(encoder, copies));
  }

  /**
   * Records block copies as {@linkcode KvArenas.copy} carries them out.
   *
   * @throws {RangeError} if a block does not exist
   */
  encodeCopies(
    encoder: GPUCommandEncoder,
    copies: readonly BlockCopy[],
  ): void {
    this.check();
    checkCopies(this, copies);
    this.#record(() =>
      this.#encodeCopies(encoder, [...this.#pending.take(), ...copies])
    );
  }

  /** Carries out now what the reservations of steps ask to be copied. */
  copyPending(): void {
    this.check();
    this.#copyPending();
  }

  #begin(
    reservations: readonly Reservation[],
    parts?: readonly StepPart[],
  ): CacheStep {
    const total = reservations.reduce((sum, own) => sum + own.slots.length, 0);
    const slots = new Uint32Array(total);
    let at = 0;
    for (const own of reservations) {
      slots.set(own.slots, at);
      at += own.slots.length;
    }
    const copies = reservations.flatMap(({ copies }) => copies);
    return new CacheStep(this.#host, {
      slots,
      copies: copies.length,
      serial: this.#pending.add(copies),
      ...(parts && { parts }),
    });
  }

  /** Cancels a step for an error, of which another one would say less. */
  #cancel(step: CacheStep): void {
    try {
      step.cancel();
    } catch {
      // The sequences are as long as before; the copies stay pending.
    }
  }

  /** Carries out the copies up to those of a step; without a device, none. */
  #copyPending(serial?: number): void {
    if (this.#destroyed || this.gpu.lost) return;
    if (this.#pending.entries.length === 0) return;
    this.#submit(
      "kv.copy",
      (encoder) => this.#encodeCopies(encoder, this.#pending.take(serial)),
    );
  }

  #submit(label: string, record: (encoder: GPUCommandEncoder) => void): void {
    this.#record(() => this.gpu.submit(label, record));
  }

  /**
   * Runs what records pending copies. Where it throws they stay pending: even
   * if they are submitted, they may be carried out again before the next write.
   */
  #record(run: () => void): void {
    const { entries } = this.#pending;
    try {
      run();
    } catch (error) {
      this.#pending.entries = entries;
      throw error;
    }
  }

  #encodeCopies(
    encoder: GPUCommandEncoder,
    copies: readonly BlockCopy[],
  ): void {
    if (copies.length === 0) return;
    const batches = copyBatches(copies, {
      segmentBlocks: this.segmentBlocks,
      most: this.gpu.limits.maxComputeWorkgroupsPerDimension,
    });
    this.#copier!.update(batches.map(({ from, to, triples }) => ({
      from: arenaName(from),
      to: arenaName(to),
      triples,
    })));
    for (const arenas of this.#arenas) {
      this.#copier!.encode(encoder, arenasByName(arenas));
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

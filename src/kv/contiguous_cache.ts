/**
 * The contiguous KV cache: arenas on the device, and a pool that gives each
 * sequence one extent.
 *
 * @module
 */

import { checkRange, checkType } from "../core/check.ts";
import type { Gpu } from "../gpu/mod.ts";
import {
  checkedGrowth,
  type ContiguousGrowth,
  ContiguousSequence,
} from "../cache/extent/contiguous_sequence.ts";
import { ExtentPool } from "../cache/extent/extent_pool.ts";
import type { Reservation } from "../cache/block/table_types.ts";
import { KvArenas } from "./arenas.ts";
import type { ReserveRequest } from "./requests.ts";
import { type ExtentKeys, extentKeys, ownSequence } from "./sequence_keys.ts";
import { arenaLimit, cacheSizes, type KvCacheOptions } from "./sizes.ts";

/**
 * How large a {@linkcode ContiguousCache} is, and how its sequences grow.
 *
 * @category Cache
 */
export interface ContiguousCacheOptions
  extends Omit<KvCacheOptions, "numBlocks" | "maxArenaBytes"> {
  /** Blocks a layer, at least 2; they must fit one buffer of the device. */
  readonly numBlocks: number;
  /** How much room sequences take ahead; the block begun by default. */
  readonly growth?: ContiguousGrowth;
}

/**
 * A KV cache on the device whose sequences lie in order, each in one extent, so
 * that the kernels for contiguous keys read it as it is: what vAttention
 * (Prabhu et al. 2024) does with virtual memory, which WebGPU does not have.
 * The price is paid elsewhere: a sequence that outgrows its place is copied,
 * forks copy every row, and free room is of use as far as it is in one run.
 *
 * It has one arena a layer and otherwise the commands of a `KvCache`; slots are
 * `[0, numBlocks * blockSize)`. Write a step before more is reserved in one of
 * its sequences: that may move it.
 *
 * @example Add a token to a sequence, and attend to it
 * ```ts
 * import { attention, ContiguousCache, openGpu } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const cache = await ContiguousCache.create(gpu, {
 *   numBlocks: 8,
 *   kvHeads: 1,
 *   headDim: 4,
 * });
 * const sequence = cache.createSequence();
 * cache.append([{ sequence, count: 1 }], {
 *   key: gpu.tensor(new Float32Array([1, 0, 0, 0]), [1, 1, 4]),
 *   value: gpu.tensor(new Float32Array([5, 6, 7, 8]), [1, 1, 4]),
 * });
 * const { output } = await attention(gpu, {
 *   query: { data: new Float32Array(4), shape: [1, 1, 1, 4] },
 *   cache,
 *   sequences: [sequence],
 * });
 * console.log(output.data); // 5 6 7 8
 * gpu.destroy();
 * ```
 *
 * @category Cache
 */
export class ContiguousCache extends KvArenas {
  /** Who owns which extent. */
  readonly pool: ExtentPool;
  /** There is no null block. */
  override readonly firstBlock = 0;
  readonly #growth: ContiguousGrowth;

  private constructor(gpu: Gpu, options: ContiguousCacheOptions) {
    const { numBlocks, growth = {} } = options;
    const sizes = cacheSizes(gpu, options);
    const bytes = arenaLimit(gpu);
    checkRange(
      sizes.segments === 1,
      "numBlocks",
      `must be <= ${
        Math.floor(bytes / sizes.blockBytes)
      }, as one arena of a layer has at most the ${bytes} bytes that the device can bind`,
      numBlocks,
    );
    const checked = checkedGrowth(growth, sizes.blockSize);
    super(gpu, sizes);
    const { blockSize } = sizes;
    this.pool = new ExtentPool({ numBlocks, blockSize });
    this.#growth = checked;
  }

  /**
   * Allocates a cache.
   *
   * @throws {TypeError} if an option has the wrong type
   * @throws {RangeError} if an option is out of range, or a layer is larger
   * than the device's limits
   * @throws {UnsupportedError} for f16 without `shader-f16`
   */
  static async create(
    gpu: Gpu,
    options: ContiguousCacheOptions,
  ): Promise<ContiguousCache> {
    gpu.check();
    return await new ContiguousCache(gpu, options).open(options.rope);
  }

  /** An empty sequence. */
  createSequence(): ContiguousSequence {
    this.check();
    return new ContiguousSequence(this.pool, this.#growth);
  }

  /**
   * Forks a sequence and copies its rows, in all layers. Submits at once.
   *
   * @throws {TypeError} if it is not a live sequence of the cache
   * @throws {OutOfBlocksError} if no run of free blocks is long enough
   */
  fork(sequence: ContiguousSequence): ContiguousSequence {
    this.check();
    checkType(
      this.isOwn(sequence),
      "sequence",
      "must be a sequence of the cache",
      sequence,
    );
    const { sequence: fork, copies } = sequence.fork();
    this.copy(copies);
    return fork;
  }

  /**
   * Moves sequences together, so that all free blocks become one run; where an
   * `OutOfBlocksError` says that as many are free as are needed, it
   * makes room. Submits at once. What is reserved must be written before. A move over its own rows takes a dispatch a layer for every so many
   * blocks as it goes.
   */
  compact(): void {
    this.check();
    this.copy(this.pool.compact());
  }

  /**
   * Where sequences lie, as kernels are told.
   *
   * @throws {TypeError} if one is not a live sequence of the cache
   */
  keysOf(
    sequences: readonly unknown[],
    _options: { readonly group?: number } = {},
  ): ExtentKeys {
    this.check();
    return extentKeys(this, sequences);
  }

  /** From its first token on. */
  protected override writtenSlots(
    sequence: unknown,
  ): { readonly start: number; readonly slots: Uint32Array } {
    const { start: first, committed } = ownSequence(this, sequence, {
      name: "sequence",
      type: ContiguousSequence,
    });
    const slots = Uint32Array.from({ length: committed }, (_, i) => first + i);
    return { start: 0, slots };
  }

  /** Sequences of the pool. */
  protected override isOwn(sequence: unknown): sequence is ContiguousSequence {
    return sequence instanceof ContiguousSequence &&
      (sequence.freed || sequence.pool === this.pool);
  }

  /** Where one has no room, those before it give theirs back. */
  protected override reserveAll(
    requests: readonly ReserveRequest[],
  ): Reservation[] {
    const made: (Reservation & { start: number })[] = [];
    try {
      for (const { sequence, count } of requests) {
        const start = sequence.length;
        const { slots, copies } = (sequence as ContiguousSequence)
          .reserve(count);
        made.push({ start, slots, copies });
      }
      return made;
    } catch (error) {
      // What has moved stays there, with its rows.
      this.copy(made.flatMap(({ copies }) => copies));
      made.forEach(({ start }, i) => requests[i].sequence.truncate(start));
      throw error;
    }
  }
}

/**
 * The paged KV cache: arenas on the device, and a pool that says which block
 * belongs to whom.
 *
 * @module
 */

import type { Gpu } from "../gpu/mod.ts";
import { BlockPool } from "../cache/block/block_pool.ts";
import { BlockTable } from "../cache/block/block_table.ts";
import { reserveAll } from "../cache/block/reserve_all.ts";
import type { Reservation } from "../cache/block/table_types.ts";
import { KvArenas } from "./arenas.ts";
import type { ReserveRequest } from "./requests.ts";
import { type TableKeys, tableKeys, tableOf } from "./sequence_keys.ts";
import { cacheSizes, type KvCacheOptions } from "./sizes.ts";

/**
 * A paged KV cache on the device: sequences hold blocks of its pool, share them
 * and copy them on write.
 *
 * @example Add a token to a sequence
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 * import { KvCache } from "@quire/attention/kv";
 *
 * const gpu = await openGpu();
 * const cache = await KvCache.create(gpu, { numBlocks: 8, kvHeads: 1, headDim: 4 });
 * const sequence = cache.createSequence();
 * cache.append([{ sequence, count: 1 }], {
 *   key: gpu.tensor(new Float32Array([1, 0, 0, 0]), [1, 1, 4]),
 *   value: gpu.tensor(new Float32Array([5, 6, 7, 8]), [1, 1, 4]),
 * });
 * console.log(sequence.committed); // 1
 * gpu.destroy();
 * ```
 *
 * @category Cache
 */
export class KvCache extends KvArenas {
  /** Who owns which block. */
  readonly pool: BlockPool;
  /** Block 0 is the null block. */
  override readonly firstBlock = 1;

  private constructor(gpu: Gpu, options: KvCacheOptions) {
    const sizes = cacheSizes(gpu, options);
    super(gpu, sizes);
    const { numBlocks, blockSize } = sizes;
    this.pool = new BlockPool({ numBlocks, blockSize });
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
    return await new KvCache(gpu, options).open(options.rope);
  }

  /** An empty sequence. */
  createSequence(): BlockTable {
    this.check();
    return new BlockTable(this.pool);
  }

  /**
   * The block tables of sequences, as kernels take them.
   *
   * @param sequences Its own, or those of a `CacheManager` over its pool.
   * @param options `group`: the layer group of a manager's; 0 by default.
   * @throws {TypeError} if one is not a sequence of the cache, or not running
   * @throws {RangeError} if there is no such layer group
   */
  keysOf(
    sequences: readonly unknown[],
    options: { readonly group?: number } = {},
  ): TableKeys {
    this.check();
    return tableKeys(this, sequences, options.group ?? 0);
  }

  /** Behind the tokens that were dropped. */
  protected override writtenSlots(
    sequence: unknown,
    group: number,
  ): { readonly start: number; readonly slots: Uint32Array } {
    const table = tableOf(this, sequence, { name: "sequence", group });
    const start = Math.min(table.dropped, table.committed);
    const count = table.committed - start;
    const slots = Uint32Array.from(
      { length: count },
      (_, i) => table.slot(start + i),
    );
    return { start, slots };
  }

  /** Block tables of the pool. */
  protected override isOwn(sequence: unknown): sequence is BlockTable {
    return sequence instanceof BlockTable &&
      (sequence.freed || sequence.pool === this.pool);
  }

  /** All blocks are allocated before any table changes. */
  protected override reserveAll(
    requests: readonly ReserveRequest[],
  ): Reservation[] {
    return reserveAll(requests.map(({ sequence, count }) => ({
      table: sequence as BlockTable,
      count,
    })));
  }
}

/**
 * A cache as it is after a while: blocks are handed out in no order.
 *
 * @module
 */

import type { Gpu } from "../../src/gpu/mod.ts";
import { KvCache, type KvCacheOptions } from "../../src/kv/mod.ts";
import { Prng } from "../../src/core/prng.ts";

const SEED = 4;

/** An empty cache whose free blocks lie in no order; the caller's to destroy. */
export async function shuffledCache(
  gpu: Gpu,
  options: KvCacheOptions,
): Promise<KvCache> {
  const cache = await KvCache.create(gpu, options);
  // Blocks are handed out in the order in which they came back.
  const ids = cache.pool.allocate(cache.pool.freeBlocks);
  for (const id of new Prng(SEED).shuffle(ids)) cache.pool.release(id);
  return cache;
}

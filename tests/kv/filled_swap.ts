/**
 * A small cache of known bytes, with room for all of it on the host.
 *
 * @module
 */

import { type Gpu, KvCache, KvSwap } from "../../mod.ts";
import type { BlockSlot } from "../../src/kv/mod.ts";
import { RawImage } from "./raw_image.ts";

/** Eight blocks that can be used, without the width of their rows. */
export const LAYOUT = { numBlocks: 9, blockSize: 2, layers: 2, kvHeads: 1 };

/** A filled cache of eight blocks, and room for eight on the host. */
export async function filled(
  gpu: Gpu,
  stagingBlocks = 1,
): Promise<{ cache: KvCache; swap: KvSwap; image: RawImage } & Disposable> {
  const cache = await KvCache.create(gpu, { ...LAYOUT, headDim: 3 });
  const swap = await KvSwap.create(cache, { hostBlocks: 8, stagingBlocks });
  const image = RawImage.fill(gpu, cache, 1);
  return {
    cache,
    swap,
    image,
    [Symbol.dispose]() {
      swap.destroy();
      cache.destroy();
    },
  };
}

/** All eight blocks, block b to slot 9 - b. */
export const ALL: readonly BlockSlot[] = Array.from(
  { length: 8 },
  (_, i) => ({ block: i + 1, slot: 8 - i }),
);

/**
 * The KV cache's kernels, beside a copy of as many bytes by the device's own
 * command.
 *
 * @module
 */

import type { KvCache } from "../src/kv/mod.ts";
import { bytesPerElement, type DType } from "../src/core/dtype.ts";
import type { Gpu } from "../src/gpu/mod.ts";
import { gpuBench } from "./support/bursts.ts";
import { normals } from "./support/inputs.ts";
import { shuffledCache } from "./support/shuffled_cache.ts";

const TOKENS = 1024;
const KV_HEADS = 8;
const HEAD_DIM = 64;
const BLOCK_SIZE = 16;
const BLOCKS = TOKENS / BLOCK_SIZE;
const CALLS = 16;

function emptyCache(gpu: Gpu, dtype: DType): Promise<KvCache> {
  return shuffledCache(gpu, {
    numBlocks: 2 * BLOCKS + 1,
    blockSize: BLOCK_SIZE,
    kvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    dtype,
  });
}

for (const dtype of ["f32", "f16"] as const) {
  const shape = `${TOKENS} tokens ${KV_HEADS} heads d${HEAD_DIM} ${dtype}`;
  const group = `cache ${shape}`;
  const features = dtype === "f16" ? ["shader-f16"] : [];
  const bench = { group, calls: CALLS, features };

  gpuBench({
    ...bench,
    name: `copyBufferToBuffer ${shape}`,
    baseline: true,
    setup: (gpu) => {
      const bytes = 2 * TOKENS * KV_HEADS * HEAD_DIM * bytesPerElement(dtype);
      const [from, to] = [1, 2].map(() => gpu.empty("u32", [bytes / 4]));
      return Promise.resolve((encoder) =>
        encoder.copyBufferToBuffer(from.buffer, 0, to.buffer, 0, bytes)
      );
    },
  });

  gpuBench({
    ...bench,
    name: `append ${shape}`,
    setup: async (gpu) => {
      const cache = await emptyCache(gpu, dtype);
      const sequence = cache.createSequence();
      const step = cache.reserve([{ sequence, count: TOKENS }]);
      const size = TOKENS * KV_HEADS * HEAD_DIM;
      const rows = [TOKENS, KV_HEADS, HEAD_DIM];
      const key = gpu.tensor(normals(dtype, size, 1), rows);
      const value = gpu.tensor(normals(dtype, size, 2), rows);
      return (encoder) => step.encode(encoder, { key, value });
    },
  });

  gpuBench({
    ...bench,
    name: `copy ${BLOCKS} blocks of ${shape}`,
    setup: async (gpu) => {
      const cache = await emptyCache(gpu, dtype);
      const ids = cache.pool.allocate(2 * BLOCKS);
      const copies = ids.slice(0, BLOCKS).map((source, i) => ({
        source,
        destination: ids[BLOCKS + i],
        rows: BLOCK_SIZE,
      }));
      return (encoder) => cache.encodeCopies(encoder, copies);
    },
  });
}

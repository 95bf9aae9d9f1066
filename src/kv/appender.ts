/**
 * Writes new rows into the arenas of a cache.
 *
 * @module
 */

import {
  APPEND_LANES,
  APPEND_PARAMS,
  appendKernel,
} from "../../kernels/cache/append.ts";
import { rowFormat, rowStride } from "../../kernels/fragments/rows.ts";
import {
  type CompiledKernel,
  foldGrid,
  type Gpu,
  type GpuBuffer,
} from "../gpu/mod.ts";
import { encodeKernel, uniformBuffer } from "./kv_commands.ts";
import type { AppendRows } from "./rows.ts";
import type { CacheSizes, KvCacheOptions } from "./sizes.ts";

/** The append kernel of a cache, with its uniforms for each arena. */
export class RowAppender implements Disposable {
  readonly #gpu: Gpu;
  readonly #kvHeads: number;
  readonly #kernel: CompiledKernel;
  readonly #params: readonly GpuBuffer[];

  private constructor(gpu: Gpu, sizes: CacheSizes, kernel: CompiledKernel) {
    this.#gpu = gpu;
    this.#kvHeads = sizes.kvHeads;
    this.#kernel = kernel;
    this.#params = appendParams(gpu, sizes);
  }

  /** Compiles the kernel. */
  static async create(
    gpu: Gpu,
    sizes: CacheSizes,
    rope: KvCacheOptions["rope"],
  ): Promise<RowAppender> {
    const { dtype, headDim, valueHeadDim } = sizes;
    const kernel = await gpu.pipeline(appendKernel({
      keyFormat: rowFormat(dtype, headDim),
      valueFormat: rowFormat(dtype, valueHeadDim),
      arenaFormat: rowFormat(dtype, headDim, valueHeadDim),
      rope: rope?.pairing,
    }));
    return new RowAppender(gpu, sizes, kernel);
  }

  /** Records the writing of checked rows into the arenas of their layer. */
  encode(
    encoder: GPUCommandEncoder,
    rows: AppendRows,
    arenas: readonly GpuBuffer[],
  ): void {
    const { key, value, slots, rotation } = rows;
    const tokens = slots.size;
    if (tokens === 0) return;
    const work = Math.ceil(tokens * this.#kvHeads / APPEND_LANES);
    const [x, y, z] = foldGrid(work, this.#gpu.limits);
    // Without the tensor's padding: the kernel takes its length for tokens.
    const words = { buffer: slots.buffer, offset: slots.offset };
    arenas.forEach((arena, segment) =>
      encodeKernel(this.#gpu, encoder, {
        kernel: this.#kernel,
        resources: {
          key,
          value,
          slots: { ...words, size: 4 * tokens },
          arena,
          params: this.#params[segment],
          ...(rotation &&
            { positions: rotation.positions, rotary: rotation.table }),
        },
        grid: [x, y * z, 1],
      })
    );
  }

  /** Frees the uniforms; further calls do nothing. */
  destroy(): void {
    for (const params of this.#params) params.destroy();
  }

  /** The same as {@linkcode RowAppender.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function appendParams(gpu: Gpu, sizes: CacheSizes): GpuBuffer[] {
  const { dtype, kvHeads, headDim, valueHeadDim, ropeDim } = sizes;
  const format = rowFormat(dtype, headDim, valueHeadDim);
  const arenaKeyStride = rowStride(format, headDim);
  const slotCount = sizes.segmentBlocks * sizes.blockSize;
  // New rows are tensors of their own, with a format of their own.
  const stride = (dim: number) => rowStride(rowFormat(dtype, dim), dim);
  return Array.from(
    { length: sizes.segments },
    (_, segment) =>
      uniformBuffer(gpu, APPEND_PARAMS, {
        kv_heads: kvHeads,
        head_dim: headDim,
        head_vecs: Math.ceil(headDim / 4),
        value_dim: valueHeadDim,
        value_vecs: Math.ceil(valueHeadDim / 4),
        key_stride: stride(headDim),
        value_stride: stride(valueHeadDim),
        arena_key_stride: arenaKeyStride,
        arena_value_stride: rowStride(format, valueHeadDim),
        value_at: slotCount * kvHeads * arenaKeyStride,
        first_slot: segment * slotCount,
        slot_count: slotCount,
        rotary_pairs: ropeDim / 2,
      }),
  );
}

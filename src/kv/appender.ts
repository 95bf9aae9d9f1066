/**
 * Writes new rows into the arenas of a cache.
 *
 * @module
 */

import { APPEND_LANES, appendKernel } from "../../kernels/cache/append.ts";
import { rowFormat, rowStride } from "../../kernels/fragments/rows.ts";
import type { KernelSource } from "../core/kernel.ts";
import { type Dispatch, type Gpu, Program } from "../gpu/mod.ts";
import { foldGrid } from "../gpu/program/dispatch.ts";
import { arenaName, type Arenas, arenasByName } from "./arena_names.ts";
import type { DeviceRows } from "./rows.ts";
import type { CacheSizes, KvCacheOptions } from "./sizes.ts";

/** The append kernel of a cache, a dispatch an arena. */
export class RowAppender implements Disposable {
  readonly #gpu: Gpu;
  readonly #kvHeads: number;
  readonly #source: KernelSource;
  readonly #uniforms: readonly Record<string, number>[];
  readonly #program: Program;
  /** What the program was updated for. */
  #slots: Uint32Array | undefined;

  private constructor(gpu: Gpu, sizes: CacheSizes, source: KernelSource) {
    this.#gpu = gpu;
    this.#kvHeads = sizes.kvHeads;
    this.#source = source;
    this.#uniforms = arenaUniforms(sizes);
    this.#program = new Program(gpu, "kv.append");
  }

  /** Compiles the kernel. */
  static async create(
    gpu: Gpu,
    sizes: CacheSizes,
    rope: KvCacheOptions["rope"],
  ): Promise<RowAppender> {
    const { dtype, headDim, valueHeadDim } = sizes;
    const source = appendKernel({
      keyFormat: rowFormat(dtype, headDim),
      valueFormat: rowFormat(dtype, valueHeadDim),
      arenaFormat: rowFormat(dtype, headDim, valueHeadDim),
      rope: rope?.pairing,
    });
    const appender = new RowAppender(gpu, sizes, source);
    await appender.#program.compile([source]);
    return appender;
  }

  /**
   * Records the writing of checked rows into the arenas of their layer.
   *
   * @param slots One for each token. The same array, which must not change, is
   * uploaded once however many layers it is given for in a row.
   */
  encode(
    encoder: GPUCommandEncoder,
    slots: Uint32Array,
    { rows, arenas }: { readonly rows: DeviceRows; readonly arenas: Arenas },
  ): void {
    if (slots.length === 0) return;
    if (this.#slots !== slots) {
      this.#program.update({
        dispatches: this.#dispatches(slots.length),
        words: { slots },
      });
      this.#slots = slots;
    }
    const { key, value, rotation } = rows;
    this.#program.encode(encoder, {
      key,
      value,
      positions: rotation?.positions,
      rotary: rotation?.table,
      ...arenasByName(arenas),
    });
  }

  #dispatches(tokens: number): Dispatch[] {
    const work = Math.ceil(tokens * this.#kvHeads / APPEND_LANES);
    const [x, y, z] = foldGrid(work, this.#gpu.limits);
    return this.#uniforms.map((uniforms, segment) => ({
      source: this.#source,
      uniforms: { ...uniforms, token_count: tokens },
      grid: [x, y * z, 1],
      aliases: { arena: arenaName(segment) },
    }));
  }

  /** Frees its buffers; further calls do nothing. */
  destroy(): void {
    this.#program.destroy();
  }

  /** The same as {@linkcode RowAppender.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** The uniforms of each arena, all but the number of tokens. */
function arenaUniforms(
  sizes: CacheSizes,
): Record<string, number>[] {
  const { dtype, kvHeads, headDim, valueHeadDim, ropeDim } = sizes;
  const format = rowFormat(dtype, headDim, valueHeadDim);
  const arenaKeyStride = rowStride(format, headDim);
  const slotCount = sizes.segmentBlocks * sizes.blockSize;
  // New rows are tensors of their own, with a format of their own.
  const stride = (dim: number) => rowStride(rowFormat(dtype, dim), dim);
  return Array.from({ length: sizes.segments }, (_, segment) => ({
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
  }));
}

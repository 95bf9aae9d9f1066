/**
 * Block masks that the device selects, without waiting for the host.
 *
 * @module
 */

import {
  bitWords,
  BLOCKS_A_WORD,
} from "../../../kernels/fragments/selection.ts";
import { blockRunsKernel } from "../../../kernels/selection/block_runs.ts";
import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { noteDeviceBlockMask } from "./made.ts";
import {
  type BlockSelection,
  selectionDispatch,
} from "./selection_dispatch.ts";
import {
  type Dispatch,
  Gpu,
  GpuTensor,
  Program,
  type ReadOptions,
} from "../../gpu/mod.ts";
import { blockGrid, blockRows } from "../../mods/block_mask/geometry.ts";
import {
  type BlockGeometry,
  type BlockGrid,
  type BlockMask,
  blockMaskFromPattern,
} from "../../mods/mod.ts";

/**
 * How blocks are selected.
 *
 * @category Attention
 */
export interface SelectBlocksOptions {
  /**
   * Blocks whose score is at least this are selected. Leave it out for u32
   * scores: 0 where a block is not selected, else anything.
   */
  readonly threshold?: number;
  /**
   * Instead of a threshold: so many blocks of keys with the highest scores are
   * selected for each sequence, head and block of queries; of equal ones those
   * that come first. Blocks that `causal` hides count: give them low scores.
   */
  readonly topK?: number;
  /** Element type of the scores; f32 by default, u32 with neither of these. */
  readonly dtype?: "f32" | "f16" | "u32";
}

/**
 * A block mask on the device, for `attention({ blockMask })`: what one dispatch
 * selects is what the next one visits. Every selected block is seen whole, but
 * for what `causal` and the other masks of the call leave of it; lists are made
 * on the device, in the order of the keys, without atomics.
 *
 * @category Attention
 *
 * @example Blocks whose score is high, and attention to them, in one submit
 * ```ts
 * import { openGpu, planAttention } from "@quire/attention";
 * import { DeviceBlockMask } from "@quire/attention/ops";
 *
 * const gpu = await openGpu();
 * const shape = [1, 64, 2, 16];
 * const geometry = { queries: 64, keys: 64, queryBlock: 16 };
 * const mask = await DeviceBlockMask.create(gpu, geometry, { threshold: 0.5 });
 * const plan = await planAttention(gpu, {
 *   query: { dtype: "f32", shape },
 *   key: { dtype: "f32", shape },
 *   value: { dtype: "f32", shape },
 *   causal: true,
 *   blockMask: mask,
 * });
 * const tensors = {
 *   query: gpu.empty("f32", shape),
 *   key: gpu.empty("f32", shape),
 *   value: gpu.empty("f32", shape),
 *   output: gpu.empty("f32", shape),
 * };
 * const scores = gpu.empty("f32", [1, 1, 4, 4]); // of a kernel of yours
 * gpu.submit("step", (encoder) => {
 *   mask.encode(encoder, scores);
 *   plan.encode(encoder, tensors);
 * });
 * console.log((await gpu.readOne(tensors.output)).length); // 2048
 * gpu.destroy();
 * ```
 */
export class DeviceBlockMask implements Disposable {
  /** Whose device it is on. */
  readonly gpu: Gpu;
  /** What it covers, in which blocks. */
  readonly grid: BlockGrid;
  /**
   * `[batch, heads, queryBlocks, ceil(keyBlocks / 32)]`: bit `k % 32` of word
   * `k / 32` is set where block `k` of keys is selected. Kernels of one's own
   * may write it, instead of {@linkcode DeviceBlockMask.encode}.
   */
  readonly bits: GpuTensor;
  readonly #program: Program;
  readonly #dispatch: Dispatch;
  readonly #dtype: "f32" | "f16" | "u32";
  /** Bits of a sequence of which every block is selected. */
  #all: GpuTensor | undefined;

  /** Its dispatch is compiled. */
  private constructor(parts: {
    readonly gpu: Gpu;
    readonly grid: BlockGrid;
    readonly dispatch: Dispatch;
    readonly dtype: "f32" | "f16" | "u32";
  }) {
    const { gpu, grid, dispatch, dtype } = parts;
    const { batch, heads, queryBlocks, keyBlocks } = grid;
    this.gpu = gpu;
    this.grid = grid;
    this.#dtype = dtype;
    this.#dispatch = dispatch;
    this.#program = new Program(gpu, "block mask");
    this.#program.update({ dispatches: [dispatch] });
    this.bits = gpu.empty("u32", [
      batch,
      heads,
      queryBlocks,
      bitWords(keyBlocks),
    ], "block mask");
    noteDeviceBlockMask(this, blockRunsKernel);
  }

  /**
   * Makes a mask that selects no block yet.
   *
   * @throws {TypeError} for wrong types, and u32 scores with a threshold
   * @throws {RangeError} for numbers out of range
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`
   */
  static async create(
    gpu: Gpu,
    geometry: BlockGeometry,
    options: SelectBlocksOptions = {},
  ): Promise<DeviceBlockMask> {
    checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
    gpu.check();
    const grid = blockGrid(geometry);
    const checked = checkedOptions(options);
    const dispatch = selectionDispatch(gpu, grid, checked);
    await gpu.pipeline(dispatch.source);
    const { dtype } = checked;
    return new DeviceBlockMask({ gpu, grid, dispatch, dtype });
  }

  /**
   * Records the selection. Nothing is submitted, nothing waits.
   *
   * @param scores `[batch, heads, queryBlocks, keyBlocks]`; NaN selects nothing.
   * @throws {TypeError} if they are of another device, dtype or size, or
   * destroyed
   */
  encode(encoder: GPUCommandEncoder, scores: GpuTensor): void {
    const { batch, heads, queryBlocks, keyBlocks } = this.grid;
    const size = batch * heads * queryBlocks * keyBlocks;
    checkType(
      scores instanceof GpuTensor && scores.gpu === this.gpu,
      "scores",
      "must be a GpuTensor of the block mask's Gpu",
      scores,
    );
    checkType(
      scores.dtype === this.#dtype,
      "scores.dtype",
      `must be ${this.#dtype}`,
      scores.dtype,
    );
    checkType(
      scores.size === size,
      "scores",
      `must have a score for each block: ${
        [batch, heads, queryBlocks, keyBlocks].join(" x ")
      }`,
      scores.shape,
    );
    this.#program.encode(encoder, { scores, blocks: this.bits });
  }

  /**
   * Records that every block of a sequence is selected, whatever was.
   *
   * @param batch Its index, or 0 where the mask is one for all.
   * @throws {TypeError} if the mask is destroyed
   * @throws {RangeError} if it has no such sequence
   */
  encodeAll(encoder: GPUCommandEncoder, batch = 0): void {
    checkInteger("batch", batch, 0, this.grid.batch - 1);
    const { buffer, offset, size } = this.bits;
    const words = size / this.grid.batch;
    const bytes = 4 * words;
    this.#all ??= this.gpu.tensor(new Uint32Array(words).fill(2 ** 32 - 1), [
      words,
    ], "block mask");
    const { buffer: all } = this.#all;
    encoder.copyBufferToBuffer(all, 0, buffer, offset + batch * bytes, bytes);
  }

  /**
   * Another mask, with what this one selects where the encoder stands: what is
   * selected here later does not change it. The caller destroys it.
   *
   * @throws {TypeError} if this one is destroyed
   */
  copy(encoder: GPUCommandEncoder): DeviceBlockMask {
    const { gpu, grid, bits: { buffer, offset, byteLength } } = this;
    const copy = new DeviceBlockMask({
      gpu,
      grid,
      dispatch: this.#dispatch,
      dtype: this.#dtype,
    });
    encoder.copyBufferToBuffer(buffer, offset, copy.bits.buffer, 0, byteLength);
    return copy;
  }

  /** Reads the selection back, as a block mask on the host: this waits. */
  async read(options: ReadOptions = {}): Promise<BlockMask> {
    const { batch, heads, queries, keys, queryBlock, keyBlock } = this.grid;
    const { keyBlocks, queryOffset, rowsBy } = this.grid;
    const bits = await this.gpu.readOne(this.bits, options);
    const words = bitWords(keyBlocks);
    const pattern = Uint8Array.from(
      { length: blockRows(this.grid) * keyBlocks },
      (_, i) => {
        const [row, block] = [Math.floor(i / keyBlocks), i % keyBlocks];
        const word = bits[row * words + Math.floor(block / BLOCKS_A_WORD)];
        return (word >>> (block % BLOCKS_A_WORD)) & 1;
      },
    );
    return blockMaskFromPattern(pattern, {
      batch,
      heads,
      queries,
      keys,
      queryBlock,
      keyBlock,
      ...(rowsBy !== "query" && { queryOffset }),
    });
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.bits.destroy();
    this.#all?.destroy();
    this.#program.destroy();
  }

  /** The same as {@linkcode DeviceBlockMask.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function checkedOptions(options: SelectBlocksOptions): BlockSelection {
  checkOptions("a block mask's selection", options, {
    known: ["threshold", "topK", "dtype"],
    hints: { k: "write topK", budget: "write topK" },
  });
  const { threshold, topK } = options;
  const scored = threshold !== undefined || topK !== undefined;
  const { dtype = scored ? "f32" : "u32" } = options;
  checkType(
    dtype === "f32" || dtype === "f16" || dtype === "u32",
    "dtype",
    'must be "f32", "f16" or "u32"',
    dtype,
  );
  checkType(
    (dtype === "u32") === !scored,
    threshold === undefined && topK !== undefined ? "topK" : "threshold",
    dtype === "u32"
      ? "must be left out for u32 scores, which are 0 or not"
      : `must be given for ${dtype} scores, or topK`,
    threshold ?? topK,
  );
  checkType(
    threshold === undefined || topK === undefined,
    "topK",
    "must be left out where there is a threshold",
    topK,
  );
  if (topK !== undefined) checkInteger("topK", topK, 1, 2 ** 31 - 1);
  if (threshold !== undefined) {
    checkFinite("threshold", threshold);
    checkRange(
      Number.isFinite(Math.fround(threshold)),
      "threshold",
      "must be finite in float32",
      threshold,
    );
  }
  return { threshold: threshold ?? 0, topK, dtype };
}

/**
 * The block mask of scores on the device: those at or above a threshold, the
 * highest so many of each row, or u32 words that are not 0. Submitted at once; nothing waits. The caller
 * destroys it.
 *
 * @param scores `[batch, heads, queryBlocks, keyBlocks]`.
 * @throws {TypeError} if they do not fit the geometry
 * @throws {RangeError} for numbers out of range
 *
 * @category Attention
 *
 * @example The blocks that a gate keeps
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { blockMaskFromScores } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const gate = gpu.tensor(Float32Array.of(0.9, 0, 0.2, 0.7), [1, 1, 2, 2]);
 * using blockMask = await blockMaskFromScores(
 *   gpu,
 *   gate,
 *   { queries: 8, keys: 8, queryBlock: 4 },
 *   { threshold: 0.5 },
 * );
 * const shape = [1, 8, 1, 4];
 * const ones = { data: new Float32Array(32).fill(1), shape };
 * const value = {
 *   data: Float32Array.from({ length: 32 }, (_, i) => i < 16 ? 1 : 2),
 *   shape,
 * };
 * const { output } = await attention(gpu, {
 *   query: ones,
 *   key: ones,
 *   value,
 *   blockMask,
 * });
 * console.log(output.data[0], output.data[31]); // 1 2
 * ```
 */
export async function blockMaskFromScores(
  gpu: Gpu,
  scores: GpuTensor,
  geometry: BlockGeometry,
  options: Omit<SelectBlocksOptions, "dtype"> = {},
): Promise<DeviceBlockMask> {
  checkType(
    scores instanceof GpuTensor,
    "scores",
    "must be a GpuTensor; of scores on the host, blockMaskFromPattern() makes a mask",
    scores,
  );
  const { dtype } = scores;
  checkType(
    dtype === "f32" || dtype === "f16" || dtype === "u32",
    "scores.dtype",
    "must be f32, f16 or u32",
    dtype,
  );
  const mask = await DeviceBlockMask.create(gpu, geometry, {
    ...options,
    dtype,
  });
  try {
    gpu.submit("block mask", (encoder) => mask.encode(encoder, scores));
    return mask;
  } catch (error) {
    mask.destroy();
    throw error;
  }
}

/**
 * The states of recurrent layers on the device, and a pool that says which slot
 * belongs to whom.
 *
 * @module
 */

import { NULL_STATE, StatePool } from "../../cache/state/state_pool.ts";
import { StateSequence } from "../../cache/state/state_sequence.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { TENSOR_USAGE } from "../../gpu/buffers/usage.ts";
import type { Gpu, GpuBuffer, GpuTensor } from "../../gpu/mod.ts";
import { arenaLayout, BlockCopier } from "../copier.ts";
import { copyBatches } from "../copy_batches.ts";
import {
  blockOf,
  elementsOf,
  STATE,
  type StateCacheOptions,
  type StateSizes,
  stateSizes,
} from "./state_sizes.ts";

/**
 * A copy of a state on the device.
 *
 * @category Cache
 */
export interface StateCopy {
  /** The slot to read; 0 for zeros. */
  readonly source: number;
  /** The slot to write. */
  readonly destination: number;
}

/** The arenas of one tensor of the states, layer by layer. */
interface Kind {
  readonly tensors: readonly GpuTensor[];
  readonly buffers: readonly GpuBuffer[];
  readonly copier: BlockCopier;
}

/**
 * A cache of recurrent states on the device: for each layer an arena
 * `[numStates, stateHeads, headDim, valueHeadDim]` in f32, and one for each
 * extra, all over the same slots. A layer of linear attention takes its arena
 * as `states`, and reads and writes the slots of a step's rounds.
 *
 * No slot need be cleared before it is used, as a sequence begins by reading
 * zeros: -1 in a round, or slot 0, the null state, which nothing writes. And
 * nothing is copied on write, as a step reads one slot and writes another.
 *
 * @example A prompt, and two samples of it
 * ```ts
 * import { linearAttention, openGpu } from "@quire/attention";
 * import { type StateSequence, stateRounds } from "@quire/attention/cache";
 * import { StateCache } from "@quire/attention/kv";
 *
 * using gpu = await openGpu();
 * using cache = await StateCache.create(gpu, {
 *   numStates: 8,
 *   stateHeads: 2,
 *   headDim: 4,
 * });
 * const rows = gpu.tensor(new Float32Array(6 * 2 * 4).fill(0.5), [6, 2, 4]);
 * const step = async (sequences: StateSequence[], tokens: number) => {
 *   const rounds = stateRounds(sequences.map((s) => s.reserve(tokens)));
 *   for (const { counts, read, write } of rounds) {
 *     await linearAttention(gpu, {
 *       query: rows,
 *       key: rows,
 *       value: rows,
 *       cuSeqlens: [0, ...counts].map((_, i) => i * counts[0]),
 *       states: cache.states(),
 *       stateIndices: read,
 *       finalStateIndices: write,
 *     });
 *   }
 *   for (const sequence of sequences) sequence.commit();
 * };
 * const prompt = cache.createSequence();
 * await step([prompt], 6);
 * await step([prompt, prompt.fork()], 3);
 * console.log(cache.pool.usedBlocks); // 2
 * ```
 *
 * @category Cache
 */
export class StateCache implements Disposable {
  /** The device. */
  readonly gpu: Gpu;
  /** Who owns which slot. */
  readonly pool: StatePool;
  /** Slots a layer, the null state's included. */
  readonly numStates: number;
  /** Layers. */
  readonly layers: number;
  /** Bytes of all arenas. */
  readonly byteLength: number;
  readonly #sizes: StateSizes;
  readonly #kinds: Map<string, Kind> = new Map();
  #destroyed = false;

  private constructor(gpu: Gpu, sizes: StateSizes) {
    const { numStates, blockSize, layers, shapes } = sizes;
    this.gpu = gpu;
    this.numStates = numStates;
    this.layers = layers;
    this.pool = new StatePool({ numStates, blockSize });
    this.byteLength = layers * numStates *
      [...shapes.values()].reduce((sum, shape) => sum + bytesOf(shape), 0);
    this.#sizes = sizes;
  }

  /**
   * Allocates a cache, whose states are all zeros.
   *
   * @throws {TypeError} if an option is of the wrong type, or unknown
   * @throws {RangeError} if an option is out of range, or an arena is larger
   * than what the device can bind
   * @throws {Error} if the device has no memory for it
   */
  static async create(
    gpu: Gpu,
    options: StateCacheOptions,
  ): Promise<StateCache> {
    gpu.check();
    const cache = new StateCache(gpu, stateSizes(gpu, options));
    try {
      for (const [name, shape] of cache.#sizes.shapes) {
        await cache.#open(name, shape);
      }
    } catch (error) {
      cache.destroy();
      throw error;
    }
    return cache;
  }

  /** What the states of a layer keep, by name: `"state"`, and the extras. */
  get names(): readonly string[] {
    return [...this.#sizes.shapes.keys()];
  }

  /**
   * The states of a layer, `[numStates, stateHeads, headDim, valueHeadDim]`, or
   * an extra by its name, `[numStates, ...shape]`; f32, the cache's own.
   *
   * @throws {TypeError} if the cache is destroyed
   * @throws {RangeError} if there is no such layer or name
   */
  states(layer = 0, name: string = STATE): GpuTensor {
    this.check();
    checkInteger("layer", layer, 0, this.layers - 1);
    checkRange(
      this.#kinds.has(name),
      "name",
      `must be one of ${this.names.join(", ")}`,
      name,
    );
    return this.#kinds.get(name)!.tensors[layer];
  }

  /**
   * A sequence before its first token.
   *
   * @throws {TypeError} if the cache is destroyed
   */
  createSequence(): StateSequence {
    this.check();
    return new StateSequence(this.pool);
  }

  /**
   * Copies states in all layers, one after the other, bit for bit. Submits at
   * once.
   *
   * @throws {TypeError} if the cache is destroyed, or the copies are no array
   * @throws {RangeError} if there is no such slot, or the null state is written
   */
  copy(copies: readonly StateCopy[]): void {
    this.check();
    checkType(Array.isArray(copies), "copies", "must be an array", copies);
    const last = this.numStates - 1;
    copies.forEach(({ source, destination }, i) => {
      checkInteger(`copies[${i}].source`, source, NULL_STATE, last);
      checkInteger(`copies[${i}].destination`, destination, 1, last);
    });
    const batches = copyBatches(
      copies.filter(({ source, destination }) => source !== destination)
        .map((copy) => ({ ...copy, rows: 1 })),
      {
        segmentBlocks: this.numStates,
        most: this.gpu.limits.maxComputeWorkgroupsPerDimension,
      },
    );
    if (batches.length === 0) return;
    const layers = Array.from({ length: this.layers }, (_, i) => `${i}`);
    this.gpu.submit("state.copy", (encoder) => {
      for (const { copier, buffers } of this.#kinds.values()) {
        copier.update(
          batches.flatMap(({ triples }) =>
            layers.map((layer) => ({ from: layer, to: layer, triples }))
          ),
        );
        copier.encode(
          encoder,
          Object.fromEntries(buffers.map((buffer, i) => [`${i}`, buffer])),
        );
      }
    });
  }

  /**
   * Throws unless the cache can be used.
   *
   * @throws {TypeError} if it is destroyed
   * @throws {DeviceLostError} if the device is lost
   */
  check(): void {
    checkType(
      !this.#destroyed,
      "state cache",
      "must not be destroyed",
      "destroyed",
    );
    this.gpu.check();
  }

  /** Frees the arenas; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const { buffers, copier } of this.#kinds.values()) {
      for (const buffer of buffers) buffer.destroy();
      copier.destroy();
    }
    this.#kinds.clear();
  }

  /** The same as {@linkcode StateCache.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Allocates one tensor of the states in all layers. */
  async #open(name: string, shape: readonly number[]): Promise<void> {
    const { gpu, numStates, layers } = this;
    const block = blockOf(shape);
    const layout = arenaLayout(block, numStates);
    const copier = await BlockCopier.create(gpu, block, {
      source: layout,
      destination: layout,
    });
    const buffers: GpuBuffer[] = [];
    const tensors: GpuTensor[] = [];
    this.#kinds.set(name, { tensors, buffers, copier });
    const size = Math.ceil(numStates * bytesOf(shape) / 16) * 16;
    await gpu.scoped("allocate a state cache", () => {
      for (let layer = 0; layer < layers; layer++) {
        const label = `states.${name}.${layer}`;
        const buffer = gpu.createBuffer({ label, size, usage: TENSOR_USAGE });
        buffers.push(buffer);
        tensors.push(gpu.wrap(buffer.buffer, "f32", [numStates, ...shape]));
      }
    });
  }
}

function bytesOf(shape: readonly number[]): number {
  return 4 * elementsOf(shape);
}

/**
 * Blocks between the arenas of a cache and the host, packed one after the
 * other.
 *
 * @module
 */

import type {
  BindingResource,
  Gpu,
  GpuBuffer,
  GpuTensor,
  ReadOptions,
} from "../gpu/mod.ts";
import { TENSOR_USAGE } from "../gpu/buffers/usage.ts";
import { arenaName, arenasByName } from "./arena_names.ts";
import {
  arenaLayout,
  BlockCopier,
  type BlockShape,
  type NamedCopies,
  packedLayout,
} from "./copier.ts";
import { arenaLimit } from "./sizes.ts";

/** The name of the staging among a program's resources. */
const STAGING = "staging";

/** Arenas of blocks, layer by layer, as far as they are packed. */
export interface StagedArenas extends BlockShape {
  /** The device. */
  readonly gpu: Gpu;
  /** Layers, all of one shape. */
  readonly layers: number;
  /** Blocks of an arena. */
  readonly segmentBlocks: number;
  /** The arenas of a layer, in order; throws where there are none any more. */
  arenas(layer?: number): readonly BindingResource[];
  /** Carries out what has to be copied before anything is read or written. */
  copyPending(): void;
}

/** A block's bytes in all layers. */
export function packedBytes(cache: StagedArenas): number {
  return cache.layers * packedLayout(cache).keyBlock;
}

/** How many blocks one staging buffer can hold on a device; may be 0. */
export function mostPacked(cache: StagedArenas): number {
  const bytes = Math.floor(arenaLimit(cache.gpu) / 16) * 16;
  return Math.min(
    Math.floor(bytes / packedBytes(cache)),
    cache.gpu.limits.maxComputeWorkgroupsPerDimension,
  );
}

/**
 * A buffer for packed blocks: of each one, layer after layer, its keys and then
 * its values. It may be used again as soon as a method has returned, whatever
 * is still under way, as the device keeps the order of what is submitted.
 */
export class BlockStaging implements Disposable {
  readonly #cache: StagedArenas;
  readonly #buffer: GpuBuffer;
  #pack: BlockCopier | undefined;
  #unpack: BlockCopier | undefined;

  private constructor(cache: StagedArenas, blocks: number) {
    this.#cache = cache;
    this.#buffer = cache.gpu.createBuffer({
      label: "kv.staging",
      size: Math.ceil(blocks * packedBytes(cache) / 16) * 16,
      usage: TENSOR_USAGE,
    });
  }

  /**
   * Allocates a buffer for `blocks` blocks.
   *
   * @throws {Error} if the device has no memory for it
   */
  static async create(
    cache: StagedArenas,
    blocks: number,
  ): Promise<BlockStaging> {
    const { gpu } = cache;
    let staging: BlockStaging | undefined;
    try {
      await gpu.scoped("allocate staging", () => {
        staging = new BlockStaging(cache, blocks);
      });
      await staging!.#compile();
      return staging!;
    } catch (error) {
      staging?.destroy();
      throw error;
    }
  }

  async #compile(): Promise<void> {
    const { gpu, segmentBlocks } = this.#cache;
    const arena = arenaLayout(this.#cache, segmentBlocks);
    const packed = packedLayout(this.#cache);
    this.#pack = await BlockCopier.create(gpu, this.#cache, {
      source: arena,
      destination: packed,
    });
    this.#unpack = await BlockCopier.create(gpu, this.#cache, {
      source: packed,
      destination: arena,
    });
  }

  /** Reads blocks as they are now, in the queue's order; gives their bytes. */
  async read(
    blocks: readonly number[],
    options: ReadOptions,
  ): Promise<Uint8Array> {
    const { gpu } = this.#cache;
    this.#cache.copyPending();
    this.#pack!.update(
      this.#places(blocks).map(({ arena, pairs }) => ({
        from: arena,
        to: STAGING,
        triples: this.#triples(pairs),
      })),
    );
    gpu.submit(
      "kv.pack",
      (encoder) => this.#pack!.encode(encoder, this.#buffers()),
    );
    const bytes = blocks.length * packedBytes(this.#cache);
    const words = await gpu.readOne(this.#words(bytes), options);
    return new Uint8Array(words.buffer as ArrayBuffer, 0, bytes);
  }

  /**
   * Writes blocks; resolves when the device has done so.
   *
   * @param bytes At least those of the blocks, and a multiple of 4.
   */
  async write(
    blocks: readonly number[],
    bytes: Uint8Array<ArrayBuffer>,
    options: ReadOptions,
  ): Promise<void> {
    const { gpu } = this.#cache;
    const size = Math.ceil(blocks.length * packedBytes(this.#cache) / 4) * 4;
    this.#cache.copyPending();
    gpu.queue.writeBuffer(this.#buffer.buffer, 0, bytes, 0, size);
    this.#unpack!.update(
      this.#places(blocks).map(({ arena, pairs }): NamedCopies => ({
        from: STAGING,
        to: arena,
        triples: this.#triples(pairs.map(([block, packed]) => [packed, block])),
      })),
    );
    gpu.submit(
      "kv.unpack",
      (encoder) => this.#unpack!.encode(encoder, this.#buffers()),
    );
    // A read comes after what was submitted before it, and tells of errors.
    await gpu.readOne(this.#words(4), options);
  }

  /** Frees the buffer; further calls do nothing. */
  destroy(): void {
    this.#buffer.destroy();
    this.#pack?.destroy();
    this.#unpack?.destroy();
  }

  /** The same as {@linkcode BlockStaging.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Each arena with its blocks, by their numbers there and in the staging. */
  #places(blocks: readonly number[]): { arena: string; pairs: number[][] }[] {
    const { layers, segmentBlocks } = this.#cache;
    const places = new Map<number, number[]>();
    blocks.forEach((block, i) => {
      const segment = Math.floor(block / segmentBlocks);
      const all = places.get(segment);
      if (all) all.push(i);
      else places.set(segment, [i]);
    });
    return [...places].flatMap(([segment, all]) =>
      Array.from({ length: layers }, (_, layer) => ({
        arena: arenaName(segment, layer),
        pairs: all.map((i) => [blocks[i] % segmentBlocks, i * layers + layer]),
      }))
    );
  }

  /** All arenas and the staging, by their names. */
  #buffers(): Record<string, BindingResource> {
    const { layers } = this.#cache;
    const all: Record<string, BindingResource> = { [STAGING]: this.#buffer };
    for (let layer = 0; layer < layers; layer++) {
      Object.assign(all, arenasByName(this.#cache.arenas(layer), layer));
    }
    return all;
  }

  /** Copies of whole blocks, as the kernel takes them. */
  #triples(pairs: readonly (readonly number[])[]): Uint32Array {
    const { blockSize } = this.#cache;
    return Uint32Array.from(pairs.flatMap((pair) => [...pair, blockSize]));
  }

  #words(bytes: number): GpuTensor {
    const { buffer } = this.#buffer;
    return this.#cache.gpu.wrap(buffer, "u32", [Math.ceil(bytes / 4)]);
  }
}

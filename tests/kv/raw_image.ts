/**
 * The bytes of a cache's arenas, whatever floats they may be.
 *
 * @module
 */

import fc from "fast-check";
import type { Gpu, KvCacheOptions } from "../../mod.ts";
import type { KvArenas } from "../../src/kv/mod.ts";
import { Prng } from "../../src/core/prng.ts";

/** Words that floats are not safe to carry: as f32, or as two f16. */
const DELICATE = [
  0x7fc00000, // a quiet NaN
  0xffc12345, // one with a sign and a payload
  0x7f800001, // signalling NaNs
  0xffbfffff,
  0x7c01fe7f, // NaNs of f16, one signalling
  0x7d55fdaa,
  0x7f800000, // infinities
  0xfc007c00,
  0x00000001, // denormals
  0x807fffff,
  0x83ff0001,
  0x80000000, // negative zeros
  0x80008000,
];

/** Any bits, half of the words delicate. */
export function randomBytes(length: number, prng: Prng): Uint8Array {
  const words = Uint32Array.from(
    { length: Math.ceil(length / 4) },
    () =>
      prng.below(2) === 0 ? prng.u32() : DELICATE[prng.below(DELICATE.length)],
  );
  return new Uint8Array(words.buffer, 0, length);
}

/** All bytes of a cache: those of each layer's arenas. */
export class RawImage {
  /** `[layer][segment]`, padding included. */
  readonly arenas: readonly (readonly Uint8Array[])[];
  readonly #cache: KvArenas;

  private constructor(
    cache: KvArenas,
    arena: (layer: number, segment: number, size: number) => Uint8Array,
  ) {
    this.#cache = cache;
    this.arenas = Array.from(
      { length: cache.layers },
      (_, layer) =>
        cache.arenas(layer).map(({ size }, segment) =>
          arena(layer, segment, size)
        ),
    );
  }

  /** Fills a cache with random bits. */
  static fill(gpu: Gpu, cache: KvArenas, seed: number): RawImage {
    const prng = new Prng(seed);
    const image = new RawImage(
      cache,
      (_layer, _segment, size) => randomBytes(size, prng),
    );
    image.arenas.forEach((layer, l) =>
      layer.forEach((bytes, segment) => {
        const { buffer } = cache.arenas(l)[segment];
        gpu.queue.writeBuffer(buffer, 0, bytes as Uint8Array<ArrayBuffer>);
      })
    );
    return image;
  }

  /** Reads a cache, with one wait. */
  static async read(gpu: Gpu, cache: KvArenas): Promise<RawImage> {
    const words = await gpu.read(
      Array.from({ length: cache.layers }, (_, layer) => cache.arenas(layer))
        .flat()
        .map(({ buffer, size }) => gpu.wrap(buffer, "u32", [size / 4])),
    );
    return new RawImage(
      cache,
      (layer, segment) =>
        new Uint8Array(words[layer * cache.segments + segment].buffer),
    );
  }

  /** The bytes of a block's first rows in one layer: keys, then values. */
  block(
    layer: number,
    block: number,
    rows: number = this.#cache.blockSize,
  ): [key: Uint8Array, value: Uint8Array] {
    const { segmentBlocks, blockSize, kvHeads, dtype } = this.#cache;
    const element = dtype === "f16" ? 2 : 4;
    const key = kvHeads * this.#cache.headDim * element;
    const value = kvHeads * this.#cache.valueHeadDim * element;
    const arena = this.arenas[layer][Math.floor(block / segmentBlocks)];
    const first = block % segmentBlocks * blockSize;
    const values = segmentBlocks * blockSize * key + first * value;
    return [
      arena.subarray(first * key, (first + rows) * key),
      arena.subarray(values, values + rows * value),
    ];
  }

  /** Copies a block's first rows from another image, in all layers. */
  copy(
    from: RawImage,
    copy: { source: number; destination: number; rows?: number },
  ): void {
    const { source, destination, rows } = copy;
    this.arenas.forEach((_, layer) => {
      const target = this.block(layer, destination, rows);
      from.block(layer, source, rows).forEach((bytes, part) =>
        target[part].set(bytes)
      );
    });
  }
}

/** Layouts of every kind: odd, even and wide rows, one arena and many. */
export function layouts(gpu: Gpu): fc.Arbitrary<
  Required<
    Omit<KvCacheOptions, "rope">
  >
> {
  const half = gpu.features.has("shader-f16");
  return fc.record({
    numBlocks: fc.integer({ min: 2, max: 12 }),
    blockSize: fc.integer({ min: 1, max: 6 }),
    layers: fc.integer({ min: 1, max: 3 }),
    kvHeads: fc.integer({ min: 1, max: 4 }),
    headDim: fc.integer({ min: 1, max: 17 }),
    valueHeadDim: fc.integer({ min: 1, max: 17 }),
    dtype: half ? fc.constantFrom("f32", "f16", "f16") : fc.constant("f32"),
    arenaBlocks: fc.integer({ min: 1, max: 12 }),
  }).map(({ arenaBlocks, ...layout }) => ({
    ...layout,
    maxArenaBytes: arenaBlocks * layout.blockSize * layout.kvHeads *
      (layout.headDim + layout.valueHeadDim) * (layout.dtype === "f16" ? 2 : 4),
  }));
}

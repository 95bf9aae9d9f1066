/**
 * Block-sparse attention by the density of its mask, beside attention without
 * one: blocks that the host knows, and blocks that the device selects.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { blockMaskFromPattern } from "../../src/mods/mod.ts";
import {
  type AttentionOptions,
  blockMaskFromScores,
  planAttention,
} from "../../src/ops/mod.ts";
import { type Contestant, timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { median } from "./statistics.ts";

/** Heads. */
export const SPARSE_HEADS = 2;

/** Elements of a row. */
export const SPARSE_HEAD_DIM = 64;

/** Tokens of a block. */
export const SPARSE_BLOCK = 64;

/** Blocks that a mask has, of all. */
export const DENSITIES: readonly number[] = [1, 0.75, 0.5, 0.25, 0.125, 0.0625];

/** Median milliseconds with masks of one density. */
export interface SparseRow {
  /** Blocks that the mask has, of all. */
  readonly density: number;
  /** With blocks that the host knows. */
  readonly host: number;
  /** With blocks that the device selected. */
  readonly device: number;
}

/** Median milliseconds, measured in turns. */
export interface SparseTimes {
  /** Without a mask. */
  readonly dense: number;
  /** By density, densest first. */
  readonly rows: readonly SparseRow[];
}

/** As many blocks of so many as a density says, anywhere. */
export function blocksOf(density: number, blocks: number): Uint8Array {
  const kept = Array.from(
    { length: blocks },
    (_, i) => i < density * blocks ? 1 : 0,
  );
  return Uint8Array.from(new Prng(blocks).shuffle(kept));
}

/** Queries, keys or values of a length. */
export function sparseShape(length: number): number[] {
  return [1, length, SPARSE_HEADS, SPARSE_HEAD_DIM];
}

/** The blocks of a length, and as many of them as a density says. */
export function sparseBlocks(length: number, density: number) {
  const aside = Math.ceil(length / SPARSE_BLOCK);
  return {
    aside,
    blocks: blocksOf(density, aside ** 2),
    geometry: { queries: length, keys: length, queryBlock: SPARSE_BLOCK },
  };
}

/** Times `length` queries over as many keys, in f32. */
export async function timeSparse(
  gpu: Gpu,
  { length, repeats }: { readonly length: number; readonly repeats: number },
): Promise<SparseTimes> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shape = sparseShape(length);
  const size = length * SPARSE_HEADS * SPARSE_HEAD_DIM;
  const upload = (seed: number) =>
    own(gpu.tensor(normals("f32", size, seed), shape));
  try {
    const [query, key, value] = [upload(1), upload(2), upload(3)];
    const output = own(gpu.empty("f32", shape));
    const contestants: Contestant[] = [];
    const contest = async (mask: Pick<AttentionOptions, "blockMask">) => {
      const plan = own(
        await planAttention(gpu, { query, key, value, ...mask }),
      );
      contestants.push({ plan, tensors: { query, key, value, output } });
    };
    await contest({});
    for (const density of DENSITIES) {
      const { aside, blocks, geometry } = sparseBlocks(length, density);
      await contest({ blockMask: blockMaskFromPattern(blocks, geometry) });
      const scores = own(
        gpu.tensor(Uint32Array.from(blocks), [1, 1, aside, aside]),
      );
      const selected = own(await blockMaskFromScores(gpu, scores, geometry));
      await contest({ blockMask: selected });
    }
    const [dense, ...times] = (await timeInTurns(gpu, contestants, repeats))
      .map(median);
    const rows = DENSITIES.map((density, i) => ({
      density,
      host: times[2 * i],
      device: times[2 * i + 1],
    }));
    return { dense, rows };
  } finally {
    for (const made of owned) made.destroy();
  }
}

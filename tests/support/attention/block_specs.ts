/**
 * Block masks of a test case as plain data, with two readings each: the
 * library's block mask, and a function written here from the definition alone.
 *
 * @module
 */

import type { MaskFunction } from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  type BlockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  causal,
} from "../../../src/mods/mod.ts";

/** A block mask as plain data; which blocks it has comes from a case's seed. */
export interface BlocksSpec {
  readonly queries: number;
  readonly keys: number;
  readonly queryBlock: number;
  readonly keyBlock: number;
  readonly batch: number;
  readonly heads: number;
  /** How likely a block is visited. */
  readonly density: number;
  /** Whether some blocks are partial: causal. */
  readonly partial?: boolean;
  /** Whether it is a selection on the device; all blocks are then full. */
  readonly device?: boolean;
}

/** The level of each block: 0, 1 (partial) or 2 (full). */
export function levelsOfSpec(spec: BlocksSpec, seed: number): Uint8Array {
  const random = new Prng(seed ^ 0xb10c);
  const rows = Math.ceil(spec.queries / spec.queryBlock);
  const columns = Math.ceil(spec.keys / spec.keyBlock);
  return Uint8Array.from(
    { length: spec.batch * spec.heads * rows * columns },
    () =>
      random.uniform() >= spec.density
        ? 0
        : spec.partial && random.below(2) === 0
        ? 1
        : 2,
  );
}

/** The library's block mask. */
export function blockMaskOf(spec: BlocksSpec, seed: number): BlockMask {
  const levels = levelsOfSpec(spec, seed);
  const { queries, keys, queryBlock, keyBlock, batch, heads } = spec;
  const geometry = { queries, keys, queryBlock, keyBlock, batch, heads };
  if (!spec.partial) return blockMaskFromPattern(levels, geometry);
  const columns = Math.ceil(keys / keyBlock);
  const rows = (level: number) =>
    Array.from(
      { length: levels.length / columns },
      (_, row) =>
        Array.from({ length: columns }, (_, k) => k)
          .filter((k) => levels[row * columns + k] === level),
    );
  return blockMaskFromLists(
    { full: rows(2), partial: rows(1), maskMod: causal() },
    geometry,
  );
}

/**
 * The definition, by positions.
 *
 * @param offsets The position of query 0 of each sequence.
 * @param queryHeads Those of the problem.
 */
export function seesBlocks(
  spec: BlocksSpec,
  seed: number,
  { offsets, queryHeads }: {
    readonly offsets: readonly number[];
    readonly queryHeads: number;
  },
): MaskFunction {
  const levels = levelsOfSpec(spec, seed);
  const rows = Math.ceil(spec.queries / spec.queryBlock);
  const columns = Math.ceil(spec.keys / spec.keyBlock);
  return (b, h, q, k) => {
    const head = Math.floor(h * spec.heads / queryHeads);
    const plane = (spec.batch === 1 ? 0 : b) * spec.heads + head;
    const row = Math.floor((q - offsets[b]) / spec.queryBlock);
    const level =
      levels[(plane * rows + row) * columns + Math.floor(k / spec.keyBlock)];
    return level === 2 || level === 1 && k <= q;
  };
}

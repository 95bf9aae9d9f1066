/**
 * Block copies in the order in which a device may carry them out: in batches
 * without order within, each between one pair of arenas.
 *
 * @module
 */

import type { BlockCopy } from "../cache/block/block_table.ts";

/** Copies that one dispatch carries out. */
export interface CopyBatch {
  /** The arena of the sources. */
  readonly from: number;
  /** The arena of the destinations. */
  readonly to: number;
  /** (source, destination, rows), of blocks local to their arenas. */
  readonly triples: Uint32Array;
}

/**
 * Divides copies into batches; together they have the effect of the copies one
 * after the other.
 *
 * @param limits Blocks of an arena, and copies of a batch at most.
 */
export function copyBatches(
  copies: readonly BlockCopy[],
  limits: { readonly segmentBlocks: number; readonly most: number },
): CopyBatch[] {
  return independent(copies).flatMap((batch) => bySegments(batch, limits));
}

/**
 * Consecutive copies in batches of which none reads or overwrites what another
 * touches, since a dispatch has no order within.
 */
function independent(copies: readonly BlockCopy[]): BlockCopy[][] {
  const batches: BlockCopy[][] = [];
  let written = new Set<number>();
  let read = new Set<number>();
  for (const copy of copies) {
    const conflict = written.has(copy.source) ||
      written.has(copy.destination) || read.has(copy.destination);
    if (batches.length === 0 || conflict) {
      batches.push([]);
      written = new Set();
      read = new Set();
    }
    batches[batches.length - 1].push(copy);
    written.add(copy.destination);
    read.add(copy.source);
  }
  return batches;
}

function bySegments(
  copies: readonly BlockCopy[],
  { segmentBlocks, most }: {
    readonly segmentBlocks: number;
    readonly most: number;
  },
): CopyBatch[] {
  const groups = new Map<
    string,
    { from: number; to: number; words: number[] }
  >();
  const batches: CopyBatch[] = [];
  const close = (key: string) => {
    const { from, to, words } = groups.get(key)!;
    batches.push({ from, to, triples: Uint32Array.from(words) });
    groups.delete(key);
  };
  for (const { source, destination, rows } of copies) {
    const from = Math.floor(source / segmentBlocks);
    const to = Math.floor(destination / segmentBlocks);
    const key = `${from},${to}`;
    const group = groups.get(key) ?? { from, to, words: [] };
    groups.set(key, group);
    group.words.push(source % segmentBlocks, destination % segmentBlocks, rows);
    if (group.words.length === 3 * most) close(key);
  }
  for (const key of [...groups.keys()]) close(key);
  return batches;
}

/**
 * Partitions: how the keys of row tiles become work tiles, and those are given
 * to workgroups. A row tile is what one workgroup a kv head would do, were its
 * keys not divided.
 *
 * @module
 */

import type { KeyRange } from "./key_ranges.ts";
import { clipRuns, type HeadRuns, type KeyRun, stepsOf } from "./key_runs.ts";
import { streamK } from "./stream_k.ts";

/** How the keys of a range are split: by size, or by count. */
export type Split =
  | { readonly kind: "size"; readonly keys: number }
  | { readonly kind: "count"; readonly count: number };

/** A way of giving work to workgroups. */
export type Partition =
  /** Each key range by itself, by its packed rows; or not split at all. */
  | {
    readonly kind: "splits";
    /** For people. */
    readonly text: string;
    /** How a range with so many packed rows is split. */
    readonly of: (rows: number) => Split | undefined;
  }
  /** All key ranges together, evenly. */
  | {
    readonly kind: "stream-k";
    /** For people. */
    readonly text: string;
    /** Among how many workgroups. */
    readonly workers: number;
  };

/** Packed rows of a key range that one workgroup takes, for all kv heads. */
export interface RowTile {
  /** The range. */
  readonly range: KeyRange;
  /** First packed row. */
  readonly row: number;
  /** How many rows. */
  readonly rows: number;
  /** The keys that it visits. */
  readonly runs: HeadRuns;
}

/** What one workgroup does at a time. */
export interface WorkTile {
  /** Index of its row tile. */
  readonly rowTile: number;
  /** The keys that it visits; one list where it has a kv head of its own. */
  readonly runs: HeadRuns;
  /** Its kv head; `undefined` for all of them, a workgroup each. */
  readonly kvHead: number | undefined;
}

/** Partitioned work. */
export interface PartitionedWork {
  /** Work tiles; those of one row tile and kv head in the order of their keys. */
  readonly tiles: readonly WorkTile[];
  /**
   * Stream-K: the first work tile of each workgroup, and the end of the last
   * one's. Otherwise each has one.
   */
  readonly workers: readonly number[] | undefined;
}

/** Partitions row tiles, for a kernel whose steps have `step` keys. */
export function partitionWork(
  rowTiles: readonly RowTile[],
  partition: Partition,
  sizes: { readonly step: number; readonly kvHeads: number },
): PartitionedWork {
  return partition.kind === "splits"
    ? splitWork(rowTiles, partition.of, sizes.step)
    : streamKWork(rowTiles, partition.workers, sizes);
}

function splitWork(
  rowTiles: readonly RowTile[],
  splitOf: (rows: number) => Split | undefined,
  step: number,
): PartitionedWork {
  const tiles = rowTiles.flatMap(({ range, runs }, rowTile) =>
    splitRuns(runs, range, splitOf(range.rows), step)
      .map((part): WorkTile => ({ rowTile, runs: part, kvHead: undefined }))
  );
  return { tiles, workers: undefined };
}

/**
 * Parts of the runs, one a split. Splits begin at multiples of their size, so
 * they depend on the range alone; those that see no key are left out.
 */
function splitRuns(
  runs: HeadRuns,
  { from, end }: KeyRange,
  split: Split | undefined,
  step: number,
): HeadRuns[] {
  if (!split) return [runs];
  const steps = Math.ceil((end - from) / step);
  const size = split.kind === "size"
    ? Math.max(1, Math.floor(split.keys / step))
    : Math.max(1, Math.ceil(steps / split.count));
  const parts: HeadRuns[] = [];
  for (let at = 0; at < steps; at += size) {
    const first = from + at * step;
    const part = runs.map((list) => clipRuns(list, first, first + size * step));
    if (part.some((list) => list.length > 0)) parts.push(part);
  }
  return parts.length > 0 ? parts : [runs];
}

function streamKWork(
  rowTiles: readonly RowTile[],
  workers: number,
  { step, kvHeads }: { readonly step: number; readonly kvHeads: number },
): PartitionedWork {
  const lists = rowTiles.flatMap(({ runs }) =>
    Array.from({ length: kvHeads }, (_, h) => runs[runs.length > 1 ? h : 0])
  );
  const schedule = streamK({
    steps: lists.map((list) => stepsOf(list, step)),
    workers,
  });
  const tiles: WorkTile[] = [];
  const bounds = [0];
  for (const own of schedule.workers) {
    for (const { rowTile, first, end } of own) {
      tiles.push({
        rowTile: Math.floor(rowTile / kvHeads),
        runs: [visited(lists[rowTile], first * step, end * step)],
        kvHead: rowTile % kvHeads,
      });
    }
    bounds.push(tiles.length);
  }
  return { tiles, workers: bounds };
}

/** The part of runs that lies between counts of visited keys. */
function visited(
  runs: readonly KeyRun[],
  from: number,
  to: number,
): KeyRun[] {
  const part: KeyRun[] = [];
  let before = 0;
  for (const run of runs) {
    const { first, end } = run;
    const start = Math.max(first, first + from - before);
    const stop = Math.min(end, first + to - before);
    if (start < stop) part.push({ ...run, first: start, end: stop });
    before += end - first;
  }
  return part;
}

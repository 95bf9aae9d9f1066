/**
 * How long schedules take, in tiles: a model that counts nothing but the tiles
 * of the busiest worker.
 *
 * @module
 */

import { streamK } from "../../src/ops/attention/work/stream_k.ts";

/**
 * A batch for decode: key tiles of each row tile, of which there is one for
 * each sequence and kv head.
 */
export type RowTiles = readonly number[];

/** Tiles of the busiest of `workers`, who each take the next split when free. */
export function makespan(splits: readonly number[], workers: number): number {
  const loads = new Array(Math.min(workers, splits.length)).fill(0);
  for (const split of splits) {
    loads[loads.indexOf(Math.min(...loads))] += split;
  }
  return Math.max(0, ...loads);
}

/** Each row tile in splits of `size` key tiles; the last has what is left. */
export function splitsOfSize(rowTiles: RowTiles, size: number): number[] {
  return rowTiles.flatMap((tiles) =>
    Array.from(
      { length: Math.ceil(tiles / size) },
      (_, i) => Math.min(size, tiles - i * size),
    )
  );
}

/** Each row tile in at most `count` splits of one size. */
export function splitsOfCount(rowTiles: RowTiles, count: number): number[] {
  return rowTiles.flatMap((tiles) =>
    splitsOfSize([tiles], Math.max(1, Math.ceil(tiles / count)))
  );
}

/**
 * FlashDecoding's number of splits: the least whose last wave is filled to at
 * least 85 % of the best; none where the row tiles fill 80 % of the workers.
 */
export function heuristicSplits(rowTiles: RowTiles, workers: number): number {
  const tiles = Math.max(1, ...rowTiles);
  if (rowTiles.length >= 0.8 * workers) return 1;
  const most = Math.min(128, workers, tiles);
  const candidates = Array.from({ length: most }, (_, i) => i + 1).filter(
    (n) => n === 1 || Math.ceil(tiles / n) !== Math.ceil(tiles / (n - 1)),
  );
  const efficiency = (n: number) => {
    const waves = rowTiles.length * n / workers;
    return waves / Math.ceil(waves);
  };
  const best = Math.max(...candidates.map(efficiency));
  return candidates.find((n) => efficiency(n) >= 0.85 * best)!;
}

/** Tiles of the busiest worker, one entry a schedule. */
export interface Makespans {
  /** One worker a row tile (FlashAttention-2). */
  readonly unsplit: number;
  /** Splits of one size each, as many as the heuristic says (FlashDecoding). */
  readonly heuristic: number;
  /** Splits of a fixed number of tiles, as where results are batch-invariant. */
  readonly fixed: number;
  /** Key tiles divided evenly among workers (LeanAttention). */
  readonly streamK: number;
  /** What no schedule can be below. */
  readonly even: number;
}

/** Every schedule of a batch. */
export function makespans(
  rowTiles: RowTiles,
  { workers, fixedTiles }: { workers: number; fixedTiles: number },
): Makespans {
  const streamed = streamK({ steps: rowTiles, workers });
  const splits = heuristicSplits(rowTiles, workers);
  return {
    unsplit: makespan(rowTiles, workers),
    heuristic: makespan(splitsOfCount(rowTiles, splits), workers),
    fixed: makespan(splitsOfSize(rowTiles, fixedTiles), workers),
    streamK: Math.max(
      0,
      ...streamed.workers.map((own) =>
        own.reduce((tiles, { first, end }) => tiles + end - first, 0)
      ),
    ),
    even: Math.ceil(streamed.total / workers),
  };
}

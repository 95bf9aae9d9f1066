/**
 * How long schedules take, in tiles: a model that counts nothing but the tiles
 * of the busiest worker.
 *
 * @module
 */

import { streamK } from "../src/ops/attention/work/stream_k.ts";

/** A batch for decode: key tiles of each (sequence, kv head). */
export type Outputs = readonly number[];

/** Tiles of the busiest of `workers`, who each take the next part when free. */
export function makespan(parts: readonly number[], workers: number): number {
  const loads = new Array(Math.min(workers, parts.length)).fill(0);
  for (const part of parts) {
    loads[loads.indexOf(Math.min(...loads))] += part;
  }
  return Math.max(0, ...loads);
}

/** Each output cut into parts of `size` tiles; the last has what is left. */
export function partsOfSize(outputs: Outputs, size: number): number[] {
  return outputs.flatMap((tiles) =>
    Array.from(
      { length: Math.ceil(tiles / size) },
      (_, i) => Math.min(size, tiles - i * size),
    )
  );
}

/** Each output cut into at most `count` parts of one size. */
export function partsOfCount(outputs: Outputs, count: number): number[] {
  return outputs.flatMap((tiles) =>
    partsOfSize([tiles], Math.max(1, Math.ceil(tiles / count)))
  );
}

/**
 * FlashDecoding's number of splits: the least whose last wave is filled to at
 * least 85 % of the best; none where the outputs fill 80 % of the workers.
 */
export function heuristicSplits(outputs: Outputs, workers: number): number {
  const tiles = Math.max(1, ...outputs);
  if (outputs.length >= 0.8 * workers) return 1;
  const most = Math.min(128, workers, tiles);
  const candidates = Array.from({ length: most }, (_, i) => i + 1).filter(
    (n) => n === 1 || Math.ceil(tiles / n) !== Math.ceil(tiles / (n - 1)),
  );
  const efficiency = (n: number) => {
    const waves = outputs.length * n / workers;
    return waves / Math.ceil(waves);
  };
  const best = Math.max(...candidates.map(efficiency));
  return candidates.find((n) => efficiency(n) >= 0.85 * best)!;
}

/** Tiles of the busiest worker, one entry a schedule. */
export interface Makespans {
  /** One worker an output (FlashAttention-2). */
  readonly unsplit: number;
  /** Splits of one size each, as many as the heuristic says (FlashDecoding). */
  readonly heuristic: number;
  /** Splits of a fixed number of tiles, as where results are batch-invariant. */
  readonly fixed: number;
  /** Dealt evenly (LeanAttention). */
  readonly streamK: number;
  /** What no schedule can be below. */
  readonly even: number;
}

/** Every schedule of a batch. */
export function makespans(
  outputs: Outputs,
  { workers, fixedTiles }: { workers: number; fixedTiles: number },
): Makespans {
  const { pieces, total } = streamK({ tiles: outputs, workers });
  const splits = heuristicSplits(outputs, workers);
  return {
    unsplit: makespan(outputs, workers),
    heuristic: makespan(partsOfCount(outputs, splits), workers),
    fixed: makespan(partsOfSize(outputs, fixedTiles), workers),
    streamK: Math.max(
      0,
      ...pieces.map((own) =>
        own.reduce((tiles, { first, end }) => tiles + end - first, 0)
      ),
    ),
    even: Math.ceil(total / workers),
  };
}

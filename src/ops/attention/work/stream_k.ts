/**
 * The stream-K schedule: the key tiles of a whole batch dealt evenly to a fixed
 * number of workers, wherever outputs begin and end. Pure, no GPU.
 *
 * @module
 */

import { checkInteger } from "../../../core/check.ts";

/** What is dealt, and to how many. */
export interface StreamKOptions {
  /**
   * Key tiles of each output: of each (sequence, kv head, row tile). An output
   * whose sequence has no key has none.
   */
  readonly tiles: ArrayLike<number>;
  /** Workers, of whom only as many take part as there are tiles. */
  readonly workers: number;
}

/** Consecutive tiles of one output that one worker reduces. */
export interface StreamKPiece {
  /** Which output. */
  readonly output: number;
  /** First of its tiles. */
  readonly first: number;
  /** One past the last of its tiles. */
  readonly end: number;
}

/** Who reduces what. */
export interface StreamKSchedule {
  /** Tiles of all outputs. */
  readonly total: number;
  /** Pieces of each worker that takes part, in order. */
  readonly pieces: readonly (readonly StreamKPiece[])[];
}

/**
 * The stream-K schedule of LeanAttention (Sanovar et al. 2024, section 4): all
 * tiles in a row, each worker an equal stretch of them.
 *
 * Loads differ by at most one tile, and a worker has at most two pieces that
 * are not whole outputs: of the output that it comes into, and of the one that
 * it leaves unfinished. Merging those is another dispatch, in the order of the
 * keys, so results repeat bit for bit; the published kernel's workers wait for
 * each other instead, which WebGPU forbids.
 *
 * @throws {TypeError} if a count is not a number.
 * @throws {RangeError} if `workers` is not an integer >= 1, or a number of
 * tiles not one >= 0.
 */
export function streamK(options: StreamKOptions): StreamKSchedule {
  const { workers } = options;
  checkInteger("workers", workers, 1);
  const offsets = prefixSums(options.tiles);
  const total = offsets[offsets.length - 1];
  const active = Math.min(workers, total);
  const pieces = Array.from(
    { length: active },
    (_, worker) => workerPieces(offsets, active, worker),
  );
  return { total, pieces };
}

/** The tiles before each output, and those of all. */
function prefixSums(tiles: ArrayLike<number>): number[] {
  const offsets = [0];
  for (let i = 0; i < tiles.length; i++) {
    checkInteger(`tiles[${i}]`, tiles[i], 0);
    offsets.push(offsets[i] + tiles[i]);
  }
  checkInteger("sum of tiles", offsets[tiles.length], 0);
  return offsets;
}

/** First of a worker's tiles: the first `total % workers` take one more. */
function firstTile(total: number, workers: number, worker: number): number {
  return worker * Math.floor(total / workers) +
    Math.min(worker, total % workers);
}

/** A worker's pieces follow from the prefix sums alone, so any can be first. */
function workerPieces(
  offsets: readonly number[],
  workers: number,
  worker: number,
): StreamKPiece[] {
  const total = offsets[offsets.length - 1];
  const end = firstTile(total, workers, worker + 1);
  const pieces: StreamKPiece[] = [];
  let tile = firstTile(total, workers, worker);
  while (tile < end) {
    const output = outputOf(offsets, tile);
    const last = Math.min(end, offsets[output + 1]);
    pieces.push({
      output,
      first: tile - offsets[output],
      end: last - offsets[output],
    });
    tile = last;
  }
  return pieces;
}

/** The output that a tile belongs to, which has at least that one. */
function outputOf(offsets: readonly number[], tile: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (offsets[middle] <= tile) low = middle;
    else high = middle;
  }
  return low;
}

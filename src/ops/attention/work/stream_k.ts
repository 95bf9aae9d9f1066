/**
 * The stream-K schedule: the key steps of a whole batch given evenly to a fixed
 * number of workers, wherever row tiles begin and end. Pure, no GPU.
 *
 * @module
 */

import { checkInteger } from "../../../core/check.ts";

/** What is scheduled, and on how many. */
export interface StreamKOptions {
  /**
   * Key steps of each row tile: of each (sequence, kv head, row tile). One whose
   * sequence has no key has none.
   */
  readonly steps: ArrayLike<number>;
  /** Workers, of whom only as many take part as there are steps. */
  readonly workers: number;
}

/** Consecutive key steps of one row tile that one worker reduces. */
export interface StreamKRange {
  /** Which row tile. */
  readonly rowTile: number;
  /** First of its steps. */
  readonly first: number;
  /** One past the last of its steps. */
  readonly end: number;
}

/** Who reduces what. */
export interface StreamKSchedule {
  /** Steps of all row tiles. */
  readonly total: number;
  /** Ranges of each worker that takes part, in order. */
  readonly workers: readonly (readonly StreamKRange[])[];
}

/**
 * The stream-K schedule of LeanAttention (Sanovar et al. 2024, section 4): all
 * key steps in a row, each worker as many of them.
 *
 * Loads differ by at most one step, and a worker has at most two ranges that
 * are not whole row tiles: of the one that it comes into, and of the one that
 * it leaves unfinished. Merging those is another dispatch, in the order of the
 * keys, so results repeat bit for bit; the published kernel's workers wait for
 * each other instead, which WebGPU forbids.
 *
 * @throws {TypeError} if a count is not a number.
 * @throws {RangeError} if `workers` is not an integer >= 1, or a number of
 * steps not one >= 0.
 */
export function streamK(options: StreamKOptions): StreamKSchedule {
  const { workers } = options;
  checkInteger("workers", workers, 1);
  const offsets = prefixSums(options.steps);
  const total = offsets[offsets.length - 1];
  const active = Math.min(workers, total);
  return {
    total,
    workers: Array.from(
      { length: active },
      (_, worker) => workerRanges(offsets, active, worker),
    ),
  };
}

/** The steps before each row tile, and those of all. */
function prefixSums(steps: ArrayLike<number>): number[] {
  const offsets = [0];
  for (let i = 0; i < steps.length; i++) {
    checkInteger(`steps[${i}]`, steps[i], 0);
    offsets.push(offsets[i] + steps[i]);
  }
  checkInteger("sum of steps", offsets[steps.length], 0);
  return offsets;
}

/** First of a worker's steps: the first `total % workers` take one more. */
function firstStep(total: number, workers: number, worker: number): number {
  return worker * Math.floor(total / workers) +
    Math.min(worker, total % workers);
}

/** A worker's ranges follow from the prefix sums alone, so any can be first. */
function workerRanges(
  offsets: readonly number[],
  workers: number,
  worker: number,
): StreamKRange[] {
  const total = offsets[offsets.length - 1];
  const end = firstStep(total, workers, worker + 1);
  const ranges: StreamKRange[] = [];
  let step = firstStep(total, workers, worker);
  while (step < end) {
    const rowTile = rowTileOf(offsets, step);
    const last = Math.min(end, offsets[rowTile + 1]);
    ranges.push({
      rowTile,
      first: step - offsets[rowTile],
      end: last - offsets[rowTile],
    });
    step = last;
  }
  return ranges;
}

/** The row tile that a step belongs to, which has at least that one. */
function rowTileOf(offsets: readonly number[], step: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (offsets[middle] <= step) low = middle;
    else high = middle;
  }
  return low;
}

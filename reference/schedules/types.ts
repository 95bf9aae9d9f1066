/**
 * What schedules take and give.
 *
 * @module
 */

import type { LowPrecisionResult } from "../naive.ts";
import type { CountedMoves, SlowMatrix } from "./slow_memory.ts";

/**
 * Arithmetic that was done.
 *
 * @category Schedules
 */
export interface CountedFlops {
  /** Multiplications and additions of matrix products. */
  matmul: number;
  /** Exponentials. */
  exp: number;
  /** Multiplications and divisions that rescale or normalise. */
  rescale: number;
}

/**
 * What a schedule moved and did.
 *
 * @category Schedules
 */
export interface ScheduleCounts {
  /** Elements, by tensor. */
  readonly traffic: Readonly<Record<string, CountedMoves>>;
  /** Arithmetic. */
  readonly flops: CountedFlops;
  /** The most elements of fast memory that were held at once. */
  readonly peakElements: number;
}

/**
 * A forward's result, and what it took.
 *
 * @category Schedules
 */
export interface ScheduleResult extends LowPrecisionResult, ScheduleCounts {}

/**
 * The tiles of a schedule.
 *
 * @category Schedules
 */
export interface ScheduleTiles {
  /** Packed query rows of a tile. */
  readonly rows: number;
  /** Keys of a tile. */
  readonly keys: number;
  /** Which tiles are visited; default all. Only skip what is hidden. */
  readonly visits?:
    | ((
      rowTile: number,
      keyTile: number,
      batch: number,
      kvHead: number,
    ) => boolean)
    | undefined;
}

/** One kv head of one sequence, with all query rows that read it. */
export interface Head {
  /** The sequence. */
  readonly batch: number;
  /** The kv head. */
  readonly kvHead: number;
  /** Packed rows. */
  readonly rows: number;
  /** Keys. */
  readonly keys: number;
  /** `[rows, headDim]`. */
  readonly query: SlowMatrix;
  /** `[keys, headDim]`. */
  readonly key: SlowMatrix;
  /** `[keys, valueHeadDim]`. */
  readonly value: SlowMatrix;
  /** `[rows, valueHeadDim]`, written by forward. */
  readonly output: SlowMatrix;
  /** `[rows, 1]`, written by forward. */
  readonly lse: SlowMatrix;
}

/** A stretch of rows or keys: where it begins, and how long it is. */
export interface Stretch {
  /** Its number. */
  readonly index: number;
  /** First row or key. */
  readonly first: number;
  /** How many. */
  readonly count: number;
}

/**
 * Of several times, the one to report, and how far they lie apart.
 *
 * @module
 */

/** The middle of several times, and their range. */
export interface Summary {
  /** The median; of an even number the upper one. */
  readonly median: number;
  /** The smallest. */
  readonly min: number;
  /** The largest. */
  readonly max: number;
}

/** The median; of an even number of values the upper one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Sums up at least one value. */
export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}

/** `value` with `digits` significant digits, as a number: for JSON. */
export function significant(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}

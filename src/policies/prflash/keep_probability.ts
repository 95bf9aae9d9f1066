/**
 * With which probability a block is kept, by how far it lies behind.
 *
 * @module
 */

import {
  checkFinite,
  checkOneOf,
  checkRange,
  checkType,
} from "../../core/check.ts";

/**
 * How the probability of keeping a block falls with its distance `delta`, in
 * blocks.
 *
 * @category Policies
 */
export type PrFlashFamily =
  /** `gamma^delta`. */
  | {
    /** Which family. */
    readonly family: "geometric";
    /** What each block further multiplies it by, in `[0, 1]`. */
    readonly gamma: number;
  }
  /** `(1 + delta)^-a`. */
  | {
    /** Which family. */
    readonly family: "power";
    /** The exponent, >= 0. */
    readonly a: number;
  };

/** Probabilities are multiples of 2^-31, so that who draws compares integers. */
export const CERTAIN: number = 2 ** 31;

/** Distances that are told apart. */
const DISTANCES = 2 ** 16;

/**
 * `CERTAIN` times the probability of each distance, 0 of them first; from the
 * last on it stays the same.
 *
 * @throws {TypeError} if the family is none, or a number is no number
 * @throws {RangeError} if a number is out of range
 */
export function keepTable(
  options: PrFlashFamily & { readonly floor: number },
): number[] {
  const { floor } = options;
  checkFinite("floor", floor);
  checkRange(
    floor >= 0 && floor <= 1,
    "floor",
    "must be in [0, 1], the least probability of keeping a block",
    floor,
  );
  const falling = fallingBy(options);
  const table: number[] = [];
  for (let delta = 0; delta < DISTANCES; delta++) {
    const kept = Math.round(Math.max(floor, falling(delta)) * CERTAIN);
    table.push(kept);
    // It falls, and so stays where it has reached its floor.
    if (kept === Math.round(floor * CERTAIN)) break;
  }
  const last = table[table.length - 1];
  return table.slice(0, table.indexOf(last) + 1);
}

function fallingBy(options: PrFlashFamily): (delta: number) => number {
  checkOneOf("family", options.family, ["geometric", "power"]);
  const other = options.family === "geometric" ? "a" : "gamma";
  const { [other]: given } = options as Partial<Record<"a" | "gamma", unknown>>;
  checkType(
    given === undefined,
    other,
    `must not be given, as family "${options.family}" has no such number`,
    given,
  );
  if (options.family === "geometric") {
    const { gamma } = options;
    checkFinite("gamma", gamma);
    checkRange(
      gamma >= 0 && gamma <= 1,
      "gamma",
      "must be in [0, 1], what each block further multiplies the probability by",
      gamma,
    );
    return (delta) => gamma ** delta;
  }
  const { a } = options;
  checkFinite("a", a);
  checkRange(a >= 0, "a", "must be >= 0: the probability falls", a);
  return (delta) => (1 + delta) ** -a;
}

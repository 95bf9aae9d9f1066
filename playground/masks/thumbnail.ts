/** A small picture of mods: how bright each of its squares is. @module */

import { maskFunction, scoreFunction } from "../../src/mods/mod.ts";
import { problemOf } from "./analysis.ts";
import { evaluateMods, type Mods } from "./evaluation.ts";
import type { Settings } from "./settings.ts";

/** Squares along a side. */
export const SIDE = 48;

/** The least brightness of a pair that is seen. */
const LEAST = 75;

/** Brightness from 0 to 255 of each square, row by row. */
export type Thumbnail = Uint8Array;

/** What is drawn small. */
export interface ThumbnailOptions {
  /** Code of our own. */
  readonly code: string;
  /** What it is looked at on. */
  readonly settings: Settings;
}

/**
 * Draws code of our own; what is wrong has an empty picture.
 *
 * Seen pairs are bright. With score mods, the less of the score is left the
 * darker they are.
 */
export function thumbnail({ code, settings }: ThumbnailOptions): Thumbnail {
  const picture = new Uint8Array(SIDE * SIDE);
  let scores: Float64Array;
  try {
    const mods = problemOf(evaluateMods(code, settings), settings);
    scores = scoresOf(mods, settings);
  } catch {
    return picture;
  }
  const finite = scores.filter(Number.isFinite);
  const most = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const least = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const range = most - least || 1;
  const brightness = scores.map((score) =>
    score === -Infinity
      ? 0
      : LEAST + (255 - LEAST) * (1 - (most - score) / range)
  );
  // Sparse masks would be faint otherwise.
  return picture.map((_, n) =>
    Math.sqrt(255 * meanOf(brightness, settings, n))
  );
}

/** The mean over the pairs of one square. */
function meanOf(
  brightness: Float64Array,
  { queries, keys }: Settings,
  square: number,
): number {
  const [row, column] = [Math.floor(square / SIDE), square % SIDE];
  const [first, end] = part(row, queries);
  const [firstKey, endKey] = part(column, keys);
  let sum = 0;
  for (let i = first; i < end; i++) {
    for (let key = firstKey; key < endKey; key++) {
      sum += brightness[i * keys + key];
    }
  }
  return sum / ((end - first) * (endKey - firstKey));
}

/** What one of `SIDE` parts of a length covers: one position at least. */
function part(index: number, length: number): [first: number, end: number] {
  const first = Math.floor(index * length / SIDE);
  return [first, Math.max(first + 1, Math.floor((index + 1) * length / SIDE))];
}

/** What becomes of a score of 1 at each pair; -Infinity where it is not seen. */
function scoresOf(
  { maskMods, scoreMods }: Mods,
  { queries, keys, head }: Settings,
): Float64Array {
  const sees = maskFunction(maskMods);
  const modify = scoreFunction(scoreMods);
  return new Float64Array(queries * keys).map((_, n) => {
    const [query, key] = [Math.floor(n / keys) + keys - queries, n % keys];
    return sees(0, head, query, key)
      ? modify(1, 0, head, query, key)
      : -Infinity;
  });
}

/** A small picture of mods: how bright each of its squares is. @module */

import { maskFunction, scoreFunction } from "../../src/mods/mod.ts";
import { problemOf } from "./analysis.ts";
import { evaluateMods, type Mods } from "./evaluation.ts";
import { DEFAULT_SETTINGS } from "./settings.ts";

/** Squares along a side. */
export const SIDE = 48;

/** Pairs along a side of a square. */
const STEP = 2;

/** Queries and keys. */
const LENGTH = SIDE * STEP;

/** The least brightness of a pair that is seen. */
const LEAST = 75;

/** Brightness from 0 to 255 of each square, row by row. */
export type Thumbnail = Uint8Array;

/** What is drawn small. */
export interface ThumbnailOptions {
  /** Code of our own. */
  readonly code: string;
  /** The head that is drawn. */
  readonly head: number;
}

/**
 * Draws code of our own; what is wrong has an empty picture.
 *
 * Seen pairs are bright. With score mods, the less of the score is left the
 * darker they are.
 */
export function thumbnail({ code, head }: ThumbnailOptions): Thumbnail {
  const picture = new Uint8Array(SIDE * SIDE);
  let scores: Float64Array;
  try {
    const sizes = { queries: LENGTH, keys: LENGTH, head };
    const settings = { ...DEFAULT_SETTINGS, ...sizes };
    scores = scoresOf(problemOf(evaluateMods(code, settings), settings), head);
  } catch {
    return picture;
  }
  const finite = scores.filter(Number.isFinite);
  const most = Math.max(...finite);
  const range = most - Math.min(...finite) || 1;
  const sums = new Float64Array(picture.length);
  scores.forEach((score, n) => {
    if (score === -Infinity) return;
    const row = Math.floor(n / LENGTH / STEP);
    const column = Math.floor((n % LENGTH) / STEP);
    const left = 1 - (most - score) / range;
    sums[row * SIDE + column] += LEAST + (255 - LEAST) * left;
  });
  // Sparse masks would be faint otherwise.
  return picture.map((_, n) => Math.sqrt(sums[n] / STEP ** 2 * 255));
}

/** What becomes of a score of 1 at each pair; -Infinity where it is not seen. */
function scoresOf({ maskMods, scoreMods }: Mods, head: number): Float64Array {
  const sees = maskFunction(maskMods);
  const modify = scoreFunction(scoreMods);
  return new Float64Array(LENGTH ** 2).map((_, n) => {
    const [query, key] = [Math.floor(n / LENGTH), n % LENGTH];
    return sees(0, head, query, key)
      ? modify(1, 0, head, query, key)
      : -Infinity;
  });
}

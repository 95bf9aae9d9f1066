/** What a mask is looked at on: sizes, tiles, a head. @module */

import { checkInteger } from "../../src/core/check.ts";

/** Sizes of the problem, and how it is drawn. */
export interface Settings {
  /** Queries. */
  readonly queries: number;
  /** Keys. */
  readonly keys: number;
  /** Queries and keys of a tile of the picture. */
  readonly tile: number;
  /** Query heads, as many as key heads. */
  readonly heads: number;
  /** Elements of a query or key vector. */
  readonly headDim: number;
  /** The head that is drawn. */
  readonly head: number;
}

/** Sizes that any of the gallery looks well on. */
export const DEFAULT_SETTINGS: Settings = {
  queries: 128,
  keys: 128,
  tile: 16,
  heads: 4,
  headDim: 32,
  head: 0,
};

/** The most that each may be; the least is 1, for the head 0. */
export const MOST = {
  queries: 1024,
  keys: 1024,
  tile: 256,
  heads: 16,
  headDim: 256,
} as const;

/**
 * Throws unless all are integers of their range.
 *
 * @throws {TypeError} If one is no number.
 * @throws {RangeError} If one is out of its range.
 */
export function checkSettings(settings: Settings): void {
  for (const name of Object.keys(MOST) as (keyof typeof MOST)[]) {
    checkInteger(name, settings[name], 1, MOST[name]);
  }
  checkInteger("head", settings.head, 0, settings.heads - 1);
}

/** The score that the picture of a score mod begins with. */
export const SCORE_IN = 1;

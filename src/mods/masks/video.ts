/**
 * Masks of heads that look along space, or along time.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { Int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * A prompt, then frames.
 *
 * @category Masks and scores
 */
export interface SpatialHeadOptions {
  /** Positions of the prompt, which see all and are seen by all. */
  readonly prompt: number;
  /** Positions after the prompt that are seen by all; 0 by default. */
  readonly sink?: number;
  /** Distances below this are seen. */
  readonly width: number;
}

/**
 * A head that looks at frames nearby (Sparse VideoGen): `query < prompt or
 * key < prompt + sink or |query - key| < width`.
 *
 * @throws {RangeError} If an option is not an integer >= 0.
 *
 * @example A prompt of one token, then frames of two
 * ```ts
 * import { drawMask, spatialHead } from "@quire/attention/mods";
 *
 * const mask = spatialHead({ prompt: 1, width: 2 });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██████
 * // ███···
 * // ████··
 * // █·███·
 * // █··███
 * // █···██
 * ```
 *
 * @category Masks and scores
 */
export function spatialHead(options: SpatialHeadOptions): MaskMod {
  checkOptions("spatialHead()", options, {
    known: ["prompt", "sink", "width"],
  });
  const { prompt, sink = 0, width } = options;
  checkInteger("prompt", prompt, 0, MAX);
  checkInteger("sink", sink, 0, MAX - prompt);
  checkInteger("width", width, 0, MAX);
  return maskMod(
    "spatialHead",
    ({ query, key }) =>
      query.lt(prompt).or(key.lt(prompt + sink))
        .or(query.sub(key).abs().lt(width)),
  );
}

/**
 * A prompt, then frames of so many tokens.
 *
 * @category Masks and scores
 */
export interface TemporalHeadOptions {
  /** Positions of the prompt, which see all and are seen by all. */
  readonly prompt: number;
  /** Tokens of a frame. */
  readonly frame: number;
  /** Distances within the frame below this are seen. */
  readonly width: number;
}

/**
 * A head that looks at one place in all frames (Sparse VideoGen): `query <
 * prompt or key < prompt or |place(query) - place(key)| < width`, where the
 * place is `(position - prompt) rem frame`.
 *
 * @throws {RangeError} If `frame` is not an integer >= 1, or another option
 * not one >= 0.
 *
 * @example A prompt of one token, then frames of three
 * ```ts
 * import { drawMask, temporalHead } from "@quire/attention/mods";
 *
 * const mask = temporalHead({ prompt: 1, frame: 3, width: 1 });
 * const pairs = { keys: 7, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███████
 * // ██··█··
 * // █·█··█·
 * // █··█··█
 * // ██··█··
 * // █·█··█·
 * // █··█··█
 * ```
 *
 * @category Masks and scores
 */
export function temporalHead(options: TemporalHeadOptions): MaskMod {
  checkOptions("temporalHead()", options, {
    known: ["prompt", "frame", "width"],
  });
  const { prompt, frame, width } = options;
  checkInteger("prompt", prompt, 0, MAX);
  checkInteger("frame", frame, 1, MAX);
  checkInteger("width", width, 0, MAX);
  return maskMod("temporalHead", ({ query, key }) => {
    const place = (position: Int) => position.sub(prompt).rem(frame);
    return query.lt(prompt).or(key.lt(prompt))
      .or(place(query).sub(place(key)).abs().lt(width));
  });
}

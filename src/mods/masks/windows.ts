/**
 * Masks by distance: causal, and windows with sinks or gaps.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { bool } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * Keys up to the query's own position: `key <= query`.
 *
 * @example Four tokens
 * ```ts
 * import { causal } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = causal();
 * const pairs = { keys: 4, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █···
 * // ██··
 * // ███·
 * // ████
 * ```
 *
 * @category Masks and scores
 */
export function causal(): MaskMod {
  return maskMod("causal", ({ query, key }) => key.le(query));
}

/**
 * How far a query sees; a missing side is unbounded.
 *
 * @category Masks and scores
 */
export interface SlidingWindowOptions {
  /** Positions before the query's own that are seen. */
  readonly left?: number;
  /** Positions after the query's own that are seen. */
  readonly right?: number;
}

/**
 * A window, both ends inclusive: `query - left <= key <= query + right`.
 *
 * @throws {RangeError} If a side is negative or not an integer.
 *
 * @example Two positions back, causal
 * ```ts
 * import { slidingWindow } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = slidingWindow({ left: 2, right: 0 });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·····
 * // ██····
 * // ███···
 * // ·███··
 * // ··███·
 * // ···███
 * ```
 *
 * @category Masks and scores
 */
export function slidingWindow(options: SlidingWindowOptions): MaskMod {
  checkOptions("slidingWindow()", options, { known: ["left", "right"] });
  const { left, right } = options;
  if (left !== undefined) checkInteger("left", left, 0, MAX);
  if (right !== undefined) checkInteger("right", right, 0, MAX);
  return maskMod("slidingWindow", ({ query, key }) => {
    const after = left === undefined ? undefined : query.sub(key).le(left);
    const before = right === undefined ? undefined : key.sub(query).le(right);
    if (after === undefined) return before ?? bool(true);
    return before === undefined ? after : after.and(before);
  });
}

/**
 * What {@linkcode sinkWindow} keeps.
 *
 * @category Masks and scores
 */
export interface SinkWindowOptions {
  /** The first positions, which every later query sees. */
  readonly sinks: number;
  /** Positions before the query's own that are seen. */
  readonly window: number;
}

/**
 * Causal attention to the first keys and to the latest ones (StreamingLLM):
 * `key <= query and (key < sinks or key >= query - window)`.
 *
 * @throws {RangeError} If an option is negative or not an integer.
 *
 * @example One sink, a window of two
 * ```ts
 * import { sinkWindow } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = sinkWindow({ sinks: 1, window: 2 });
 * const pairs = { keys: 7, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █······
 * // ██·····
 * // ███····
 * // ████···
 * // █·███··
 * // █··███·
 * // █···███
 * ```
 *
 * @category Masks and scores
 */
export function sinkWindow(options: SinkWindowOptions): MaskMod {
  checkOptions("sinkWindow()", options, { known: ["sinks", "window"] });
  const { sinks, window } = options;
  checkInteger("sinks", sinks, 0, MAX);
  checkInteger("window", window, 0, MAX);
  return maskMod(
    "sinkWindow",
    ({ query, key }) =>
      key.le(query).and(key.lt(sinks).or(query.sub(key).le(window))),
  );
}

/**
 * The shape of a dilated window.
 *
 * @category Masks and scores
 */
export interface DilatedOptions {
  /** The greatest distance that is seen. */
  readonly window: number;
  /** Only distances divisible by this are seen. */
  readonly dilation: number;
}

/**
 * A window with gaps, to both sides (Longformer): `distance <= window and
 * distance rem dilation === 0` with `distance = |query - key|`.
 *
 * @throws {RangeError} If `window` is not an integer >= 0, or `dilation` not
 * one >= 1.
 *
 * @example Every other position, up to four away
 * ```ts
 * import { dilated } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = dilated({ window: 4, dilation: 2 });
 * const pairs = { keys: 7, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·█·█··
 * // ·█·█·█·
 * // █·█·█·█
 * // ·█·█·█·
 * // █·█·█·█
 * // ·█·█·█·
 * // ··█·█·█
 * ```
 *
 * @category Masks and scores
 */
export function dilated(options: DilatedOptions): MaskMod {
  checkOptions("dilated()", options, { known: ["window", "dilation"] });
  const { window, dilation } = options;
  checkInteger("window", window, 0, MAX);
  checkInteger("dilation", dilation, 1, MAX);
  // The greatest distance that is seen: with it, no tile is undecided.
  const reach = window - window % dilation;
  return maskMod("dilated", ({ query, key }) => {
    const distance = query.sub(key).abs();
    return distance.le(reach).and(distance.rem(dilation).eq(0));
  });
}

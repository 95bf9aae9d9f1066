/**
 * A window, and tokens that see and are seen by all.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { capture } from "../captures/capture.ts";
import { type MaskMod, maskMod } from "../trace.ts";

/**
 * The window, and which tokens are global.
 *
 * @category Masks and scores
 */
export interface GlobalWindowOptions {
  /** Positions to each side that are seen. */
  readonly window: number;
  /** Nonzero for the positions that see all and are seen by all. */
  readonly isGlobal: Uint8Array;
}

/**
 * A window to both sides and global tokens (Longformer): `|query - key| <=
 * window or isGlobal[query] or isGlobal[key]`.
 *
 * @throws {TypeError} If `isGlobal` is not a `Uint8Array`.
 * @throws {RangeError} If `window` is not an integer >= 0, or there are no
 * positions.
 *
 * @example Position 2 is global
 * ```ts
 * import { drawMask, globalWindow } from "@quire/attention/mods";
 *
 * const isGlobal = Uint8Array.of(0, 0, 1, 0, 0, 0);
 * const mask = globalWindow({ window: 1, isGlobal });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ███···
 * // ██████
 * // ··███·
 * // ··████
 * // ··█·██
 * ```
 *
 * @category Masks and scores
 */
export function globalWindow(options: GlobalWindowOptions): MaskMod {
  checkOptions("globalWindow()", options, { known: ["window", "isGlobal"] });
  const { window, isGlobal } = options;
  checkInteger("window", window, 0, 2 ** 31 - 1);
  checkType(
    isGlobal instanceof Uint8Array,
    "isGlobal",
    "must be a Uint8Array, nonzero where a position is global",
    isGlobal,
  );
  const marks = capture(isGlobal, { name: "isGlobal", axes: ["key"] });
  return maskMod(
    "globalWindow",
    ({ query, key }) =>
      query.sub(key).abs().le(window).or(marks.at(query)).or(marks.at(key)),
  );
}

/**
 * A prefix that all see.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { capture } from "../captures/capture.ts";
import { int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

/**
 * A prefix that every query sees, and causal after it:
 * `key < prefix or key <= query`.
 *
 * @param lengths The prefix's length, or that of each sequence of the batch.
 * @throws {RangeError} If a length is negative or not an integer.
 *
 * @example A prefix of three tokens
 * ```ts
 * import { prefixLm } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = prefixLm(3);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ███···
 * // ███···
 * // ████··
 * // █████·
 * // ██████
 * ```
 *
 * @category Masks and scores
 */
export function prefixLm(lengths: number | Uint32Array): MaskMod {
  if (typeof lengths === "number") {
    checkInteger("lengths", lengths, 0, 2 ** 31 - 1);
  }
  const perBatch = typeof lengths === "number"
    ? undefined
    : capture(lengths, { name: "prefixLm lengths", axes: ["batch"] });
  return maskMod("prefixLm", ({ batch, query, key }) => {
    const prefix = perBatch?.at(batch) ?? int(lengths as number);
    return key.lt(prefix).or(key.le(query));
  });
}

/**
 * Which keys of another sequence a stretch of queries sees.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { capture } from "../captures/capture.ts";
import { type MaskMod, maskMod } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * Images, and the tokens of text that see them.
 *
 * @category Masks and scores
 */
export interface ImageCrossOptions {
  /** Keys of an image; image i's are the i-th so many. */
  readonly imageKeys: number;
  /** The first query that sees each image, and the first after those. */
  readonly intervals: readonly (readonly [start: number, end: number])[];
}

/**
 * Cross-attention of text to images (Flamingo): the keys are those of the
 * images, one after the other, and image `i` is seen by the queries
 * `intervals[i][0] <= row < intervals[i][1]`. Rows count a sequence's queries
 * from 0, wherever its keys end. Keys after the last image are not seen.
 *
 * @throws {TypeError} If `intervals` is no array of pairs.
 * @throws {RangeError} If there is no image, `imageKeys` is not an integer >=
 * 1, or an interval does not have `0 <= start <= end`.
 *
 * @example Three images of two keys, seven tokens of text
 * ```ts
 * import { drawMask, imageCross } from "@quire/attention/mods";
 *
 * const mask = imageCross({
 *   imageKeys: 2,
 *   intervals: [[0, 4], [1, 4], [4, 7]],
 * });
 * const pairs = { queries: 7, keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ████··
 * // ████··
 * // ████··
 * // ····██
 * // ····██
 * // ····██
 * ```
 *
 * @category Masks and scores
 */
export function imageCross(options: ImageCrossOptions): MaskMod {
  checkOptions("imageCross()", options, { known: ["imageKeys", "intervals"] });
  const { imageKeys, intervals } = options;
  checkInteger("imageKeys", imageKeys, 1, MAX);
  checkType(
    Array.isArray(intervals) &&
      intervals.every((one) => Array.isArray(one) && one.length === 2),
    "intervals",
    "must be an array of [start, end]",
    intervals,
  );
  checkInteger("images of intervals", intervals.length, 1, MAX / imageKeys);
  for (const [i, [start, end]] of intervals.entries()) {
    checkInteger(`intervals[${i}][0]`, start, 0, MAX);
    checkInteger(`intervals[${i}][1]`, end, start, MAX);
  }
  const bounds = (side: 0 | 1) =>
    capture(Int32Array.from(intervals, (one) => one[side]), {
      name: side === 0 ? "interval starts" : "interval ends",
    });
  const [starts, ends] = [bounds(0), bounds(1)];
  return maskMod("imageCross", ({ row, key }) => {
    const image = key.div(imageKeys);
    return image.lt(intervals.length).and(row.ge(starts.at(image)))
      .and(row.lt(ends.at(image)));
  });
}

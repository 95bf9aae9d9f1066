/**
 * A mask of its own for each sequence of a batch, or for each head.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { capture } from "../captures/capture.ts";
import { Bool } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

/**
 * A mask for each sequence of the batch. A sequence skips the tiles of its own
 * mask; within a tile that is computed with a mask, all different ones are
 * evaluated, so they should be few.
 *
 * @param masks One for each sequence; the same object may stand several times.
 * @throws {TypeError} If there is none, or one is not a mask.
 *
 * @example Sequence 0 is causal, sequence 1 sees all of two tokens
 * ```ts
 * import { byBatch, causal, drawMask, prefixLm } from "@quire/attention/mods";
 *
 * const mask = byBatch([causal(), prefixLm(2)]);
 * const pairs = { keys: 3, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █··
 * // ██·
 * // ███
 * console.log(drawMask(mask, { ...pairs, batch: 1 }).text);
 * // ██·
 * // ██·
 * // ███
 * ```
 *
 * @category Masks and scores
 */
export function byBatch(masks: readonly MaskMod[]): MaskMod {
  return byIndex("byBatch", "batch", masks);
}

/**
 * A mask for each query head; as {@linkcode byBatch}.
 *
 * @param masks One for each head; the same object may stand several times.
 * @throws {TypeError} If there is none, or one is not a mask.
 *
 * @example Head 0 is local, head 1 sees everything before it
 * ```ts
 * import {
 *   byHead,
 *   causal,
 *   drawMask,
 *   slidingWindow,
 * } from "@quire/attention/mods";
 *
 * const mask = byHead([slidingWindow({ left: 1, right: 0 }), causal()]);
 * const pairs = { keys: 4, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █···
 * // ██··
 * // ·██·
 * // ··██
 * ```
 *
 * @category Masks and scores
 */
export function byHead(masks: readonly MaskMod[]): MaskMod {
  return byIndex("byHead", "head", masks);
}

function byIndex(
  name: string,
  axis: "batch" | "head",
  masks: readonly MaskMod[],
): MaskMod {
  checkType(
    Array.isArray(masks) && masks.length > 0,
    `${name}()`,
    "must be given an array of masks",
    masks,
  );
  for (const [i, mask] of masks.entries()) {
    checkType(mask?.kind === "mask", `${name}[${i}]`, "must be a mask", mask);
  }
  const different = [...new Set(masks)];
  const names = different.map((mask) => mask.name).join(", ");
  const numbers = capture(
    Int32Array.from(masks, (mask) => different.indexOf(mask)),
    { name: `${name} masks`, axes: [axis] },
  );
  return maskMod(`${name}(${names})`, (variables) => {
    const [first, ...rest] = different.map(({ expression }) =>
      new Bool(expression)
    );
    if (rest.length === 0) return first;
    const number = numbers.at(variables[axis]);
    return rest.reduce<Bool>(
      (others, mask, i) => number.eq(i + 1).select(mask, others),
      first,
    );
  });
}

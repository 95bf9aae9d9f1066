/**
 * Prompts that are packed once for all their continuations.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type MaskMod, maskMod } from "../trace.ts";
import {
  type CuSeqlens,
  eachDocument,
  packedDocuments,
  perToken,
} from "./packed_row.ts";

/**
 * Documents, and which of them is a prefix of which.
 *
 * @category Masks and scores
 */
export interface SharedPrefixOptions {
  /** Where each document starts, then the end of the last. */
  readonly cuSeqlens: CuSeqlens;
  /** The document that each continues; itself where it continues none. */
  readonly prefixOf: Int32Array | Uint32Array | readonly number[];
}

/**
 * Several continuations of one prompt in a packed row that holds the prompt
 * once: a document sees the whole of the one that it continues, and itself
 * causally.
 *
 * @throws {TypeError} If there are not as many `prefixOf` as documents.
 * @throws {RangeError} If one is no document, or continues another itself, or
 * `cuSeqlens` does not begin with 0, decreases, or has no token.
 *
 * @example A prompt of two tokens, continued twice
 * ```ts
 * import { drawMask, sharedPrefix } from "@quire/attention/mods";
 *
 * const mask = sharedPrefix({ cuSeqlens: [0, 2, 4, 6], prefixOf: [0, 0, 0] });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·····
 * // ██····
 * // ███···
 * // ████··
 * // ██··█·
 * // ██··██
 * ```
 *
 * @category Masks and scores
 */
export function sharedPrefix(options: SharedPrefixOptions): MaskMod {
  checkOptions("sharedPrefix()", options, { known: ["cuSeqlens", "prefixOf"] });
  const packed = packedDocuments(options.cuSeqlens);
  const { starts, ends } = packed;
  const prefixOf = eachDocument("prefixOf", options.prefixOf, packed);
  prefixOf.forEach((prefix, i) => {
    checkInteger(`prefixOf[${i}]`, prefix, 0, starts.length - 1);
    checkInteger(
      `prefixOf[${i}]'s own prefixOf`,
      prefixOf[prefix],
      prefix,
      prefix,
    );
  });
  const start = perToken("starts", packed, starts);
  // A document that continues none sees itself alone, so its prefix is empty.
  const continues = (i: number) => prefixOf[i] !== i;
  const prefixStart = perToken(
    "prefix starts",
    packed,
    starts.map((_, i) => starts[prefixOf[i]]),
  );
  const prefixEnd = perToken(
    "prefix ends",
    packed,
    starts.map((first, i) => continues(i) ? ends[prefixOf[i]] : first),
  );
  return maskMod("sharedPrefix", ({ query, key }) => {
    const own = key.ge(start.at(query)).and(key.le(query));
    const prompt = key.ge(prefixStart.at(query)).and(
      key.lt(prefixEnd.at(query)),
    );
    return own.or(prompt);
  });
}

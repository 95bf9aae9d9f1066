/**
 * Documents that are packed into one row, given by where each starts.
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
import { checkMask, maskAt } from "./remap.ts";

/**
 * Documents packed into one row: a query sees its own,
 * `start <= key < end`. It is {@linkcode document} by where documents start
 * rather than by each token's number, and asks nothing of the key but its
 * position. `cuSeqlens` of `attention()` does the same without a mask, where
 * nothing else is asked.
 *
 * @param cuSeqlens Where each document starts, then the end of the last;
 * documents may be empty.
 * @throws {TypeError} If `cuSeqlens` is no array of two numbers or more.
 * @throws {RangeError} If it does not begin with 0, decreases, or has no token.
 *
 * @example Documents of three, two and one token
 * ```ts
 * import { documents, drawMask } from "@quire/attention/mods";
 *
 * const mask = documents([0, 3, 5, 6]);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ███···
 * // ███···
 * // ···██·
 * // ···██·
 * // ·····█
 * ```
 *
 * @category Masks and scores
 */
export function documents(cuSeqlens: CuSeqlens): MaskMod {
  const packed = packedDocuments(cuSeqlens);
  const start = perToken("starts", packed, packed.starts);
  const end = perToken("ends", packed, packed.ends);
  return maskMod(
    "documents",
    ({ query, key }) => key.ge(start.at(query)).and(key.lt(end.at(query))),
  );
}

/**
 * `mask` within each document of a packed row, counted from the document's own
 * first token; other documents are not seen. For a causal mask,
 * `and(documents(cuSeqlens), causal())` is the same and skips more tiles.
 *
 * @param mask Of positions in a document.
 * @param cuSeqlens Where each document starts, then the end of the last.
 * @throws {TypeError} If `mask` is not a mask, or reads the query's row, or
 * `cuSeqlens` is no array of two numbers or more.
 * @throws {RangeError} If it does not begin with 0, decreases, or has no token.
 *
 * @example A prefix of two tokens in each of two documents
 * ```ts
 * import { drawMask, prefixLm, withinDocuments } from "@quire/attention/mods";
 *
 * const mask = withinDocuments(prefixLm(2), [0, 3, 6]);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // ███···
 * // ···██·
 * // ···██·
 * // ···███
 * ```
 *
 * @category Masks and scores
 */
export function withinDocuments(
  mask: MaskMod,
  cuSeqlens: CuSeqlens,
): MaskMod {
  checkMask("withinDocuments()", mask);
  const packed = packedDocuments(cuSeqlens);
  const start = perToken("starts", packed, packed.starts);
  const end = perToken("ends", packed, packed.ends);
  return maskMod(`withinDocuments(${mask.name})`, ({ query, key }) => {
    const first = start.at(query);
    const inner = maskAt(mask, {
      query: query.sub(first),
      key: key.sub(first),
    });
    return key.ge(first).and(key.lt(end.at(query))).and(inner);
  });
}

/**
 * Documents, and how much of each all of its tokens see.
 *
 * @category Masks and scores
 */
export interface DocumentPrefixLmOptions {
  /** Where each document starts, then the end of the last. */
  readonly cuSeqlens: CuSeqlens;
  /** The length of each document's prefix. */
  readonly prefixes: Int32Array | Uint32Array | readonly number[];
}

/**
 * Prefix-LM within each document of a packed row, with a prefix of its own:
 * `start <= key and (key < start + prefix or key <= query)`.
 *
 * @throws {TypeError} If there are not as many prefixes as documents.
 * @throws {RangeError} If `cuSeqlens` does not begin with 0, decreases, or has
 * no token, or a prefix is longer than its document.
 *
 * @example Prefixes of two and one token
 * ```ts
 * import { documentPrefixLm, drawMask } from "@quire/attention/mods";
 *
 * const mask = documentPrefixLm({ cuSeqlens: [0, 3, 6], prefixes: [2, 1] });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // ███···
 * // ···█··
 * // ···██·
 * // ···███
 * ```
 *
 * @category Masks and scores
 */
export function documentPrefixLm(options: DocumentPrefixLmOptions): MaskMod {
  checkOptions("documentPrefixLm()", options, {
    known: ["cuSeqlens", "prefixes"],
  });
  const packed = packedDocuments(options.cuSeqlens);
  const { starts, ends } = packed;
  const prefixes = eachDocument("prefixes", options.prefixes, packed);
  prefixes.forEach((prefix, i) =>
    checkInteger(`prefixes[${i}]`, prefix, 0, ends[i] - starts[i])
  );
  const start = perToken("starts", packed, starts);
  const prefixEnd = perToken(
    "prefixes",
    packed,
    starts.map((first, i) => first + prefixes[i]),
  );
  return maskMod(
    "documentPrefixLm",
    ({ query, key }) =>
      key.ge(start.at(query)).and(
        key.lt(prefixEnd.at(query)).or(key.le(query)),
      ),
  );
}

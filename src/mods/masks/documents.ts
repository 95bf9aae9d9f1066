/**
 * Documents that are packed into one row, given by where each starts.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type Capture, capture } from "../capture.ts";
import type { Int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";
import { checkMask, maskAt } from "./remap.ts";

/**
 * Where each document starts, then the end of the last.
 *
 * @category Masks and scores
 */
export type CuSeqlens = Int32Array | Uint32Array | readonly number[];

/**
 * Documents of a packed row.
 *
 * @category Masks and scores
 */
export interface PackedDocuments {
  /** The document of each token. */
  readonly documentOf: Int32Array;
  /** Where each starts. */
  readonly starts: readonly number[];
  /** Where each ends (exclusive). */
  readonly ends: readonly number[];
}

/**
 * The documents of a row, of at least a token.
 *
 * @throws {TypeError} If `cuSeqlens` is no array of two numbers or more.
 * @throws {RangeError} If it does not begin with 0, decreases, or has no token.
 */
export function packedDocuments(cuSeqlens: CuSeqlens): PackedDocuments {
  checkType(
    (Array.isArray(cuSeqlens) || ArrayBuffer.isView(cuSeqlens)) &&
      cuSeqlens.length >= 2,
    "cuSeqlens",
    "must be where each document starts and the last ends",
    cuSeqlens,
  );
  const bounds = Array.from(cuSeqlens);
  checkInteger("cuSeqlens[0]", bounds[0], 0, 0);
  for (let i = 1; i < bounds.length; i++) {
    checkInteger(`cuSeqlens[${i}]`, bounds[i], bounds[i - 1], 2 ** 31 - 1);
  }
  const last = bounds.length - 1;
  checkInteger(`cuSeqlens[${last}]`, bounds[last], 1, 2 ** 31 - 1);
  const documentOf = new Int32Array(bounds[last]);
  for (let i = 0; i < last; i++) {
    documentOf.fill(i, bounds[i], bounds[i + 1]);
  }
  return { documentOf, starts: bounds.slice(0, -1), ends: bounds.slice(1) };
}

/**
 * A number of each token's document, read by position. As there is one for
 * each token, a problem with more or fewer keys is refused.
 */
export function perToken(
  name: string,
  { documentOf }: PackedDocuments,
  values: readonly number[],
): Capture<Int> {
  return capture(Int32Array.from(documentOf, (i) => values[i]), {
    name: `${name} of packed documents`,
    axes: ["key"],
  });
}

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

/** One number for each document. */
function eachDocument(
  name: string,
  values: Int32Array | Uint32Array | readonly number[],
  { starts }: PackedDocuments,
): number[] {
  checkType(
    (Array.isArray(values) || ArrayBuffer.isView(values)) &&
      values.length === starts.length,
    name,
    `must be one for each of the ${starts.length} documents`,
    values,
  );
  return Array.from(values);
}

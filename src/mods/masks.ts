/**
 * The masks that people know. Positions are in the keys' coordinate (see
 * {@linkcode MaskVariables}); `./combine.ts` combines them.
 *
 * @module
 */

import { checkInteger, checkType } from "../core/check.ts";
import { checkOptions } from "../core/options.ts";
import { capture } from "./capture.ts";
import { isCapturedTensor } from "./capture_tensor.ts";
import { bool, int } from "./expression.ts";
import type { CapturedTensor } from "./nodes.ts";
import {
  checkRank,
  queryKeyData,
  queryKeyTensor,
  type QueryRowsOptions,
} from "./query_key_data.ts";
import { type MaskMod, maskMod } from "./trace.ts";

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

/** How far a query sees; a missing side is unbounded. */
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
  if (typeof lengths === "number") checkInteger("lengths", lengths, 0, MAX);
  const perBatch = typeof lengths === "number"
    ? undefined
    : capture(lengths, { name: "prefixLm lengths", axes: ["batch"] });
  return maskMod("prefixLm", ({ batch, query, key }) => {
    const prefix = perBatch?.at(batch) ?? int(lengths as number);
    return key.lt(prefix).or(key.le(query));
  });
}

/**
 * Positions of the same document: `ids[query] === ids[key]`. Positions
 * outside `ids` have the id of its nearest end.
 *
 * @param ids The document of each position.
 * @param shape `[positions]` (the default) or `[batch, positions]`.
 * @throws {TypeError} If `shape` does not fit `ids`.
 *
 * @example Three documents
 * ```ts
 * import { document } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = document(Int32Array.of(0, 0, 0, 1, 1, 2));
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
export function document(
  ids: Int32Array | Uint32Array,
  shape: readonly number[] = [ids.length],
): MaskMod {
  checkRank("document shape", shape, [1, 2]);
  const captured = capture(ids, {
    shape,
    name: "document ids",
    axes: shape.length === 1 ? [undefined] : ["batch", undefined],
  });
  return maskMod(
    "document",
    ({ batch, query, key }) =>
      shape.length === 1
        ? captured.at(query).eq(captured.at(key))
        : captured.at(batch, query).eq(captured.at(batch, key)),
  );
}

/** What {@linkcode sinkWindow} keeps. */
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

/** The shape of a dilated window. */
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
  return maskMod("dilated", ({ query, key }) => {
    const distance = query.sub(key).abs();
    return distance.le(window).and(distance.rem(dilation).eq(0));
  });
}

/**
 * Positions in the same block of `size`. A query that comes before every key
 * (a negative position) sees none.
 *
 * @throws {RangeError} If `size` is not an integer >= 1.
 *
 * @example Blocks of two
 * ```ts
 * import { blockDiagonal } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = blockDiagonal(2);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // ··██··
 * // ··██··
 * // ····██
 * // ····██
 * ```
 *
 * @category Masks and scores
 */
export function blockDiagonal(size: number): MaskMod {
  checkInteger("size", size, 1, MAX);
  return maskMod("blockDiagonal", ({ query, key }) => {
    const length = int(size);
    return query.ge(0).and(query.div(length).eq(key.div(length)));
  });
}

/**
 * A tree of tokens, as in speculative decoding: a query sees its ancestors and
 * itself, and everything before the tree.
 *
 * @param parents The parent of each node, or -1; node i is at position
 * `start + i`, for queries and keys alike.
 * @param start The position of node 0; 0 by default.
 * @throws {TypeError} If `parents` is not an `Int32Array`.
 * @throws {RangeError} If a parent is not a node, or its own ancestor, or the
 * tree is empty.
 *
 * @example Two tokens, then a tree of four that are drafted
 * ```ts
 * import { tree } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = tree(Int32Array.of(-1, 0, 0, 1), 2);
 * const pairs = { queries: 4, keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ████··
 * // ███·█·
 * // ████·█
 * ```
 *
 * @category Masks and scores
 */
export function tree(parents: Int32Array, start = 0): MaskMod {
  checkType(
    parents instanceof Int32Array,
    "parents",
    "must be an Int32Array",
    parents,
  );
  checkInteger("start", start, 0, MAX - parents.length);
  const size = parents.length;
  const ancestors = capture(ancestorMatrix(parents), {
    shape: [size, size],
    name: "tree ancestors",
  });
  return maskMod("tree", ({ query, key }) => {
    const first = int(start);
    const seen = ancestors.at(query.sub(first), key.sub(first));
    return key.lt(first).or(seen);
  });
}

/** Row i marks node i and its ancestors. */
function ancestorMatrix(parents: Int32Array): Uint8Array {
  const size = parents.length;
  const matrix = new Uint8Array(size * size);
  for (let node = 0; node < size; node++) {
    let current = node;
    for (let steps = 0; current !== -1; steps++) {
      matrix[node * size + current] = 1;
      checkInteger(`parents[${current}]`, parents[current], -1, size - 1);
      if (steps === size) {
        throw new RangeError(
          `parents must not form a cycle: current value is one through ${node}`,
        );
      }
      current = parents[current];
    }
  }
  return matrix;
}

/**
 * A given mask: nonzero lets the query see the key. It broadcasts to
 * `[batch, heads, queries, keys]` as NumPy has it: dimensions are aligned at
 * the last, and those of 1 are for all.
 *
 * @param data The elements, row-major; a GPU tensor of u8, u32 or i32 stays on
 * its device, see {@linkcode capture}.
 * @param shape Of rank 1 to 4, for instance `[queries, keys]`; held against the
 * problem by `attention()`.
 * @throws {TypeError} If `data` is neither, or of another dtype, or `shape` has another
 * rank or does not fit it.
 * @throws {RangeError} If `data` is empty, or `queryOffset` not an integer.
 *
 * @example Two queries over three keys
 * ```ts
 * import { booleanMask } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = booleanMask(Uint8Array.of(1, 0, 1, 0, 1, 1), [2, 3]);
 * const pairs = { queries: 2, keys: 3, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·█
 * // ·██
 * ```
 *
 * @category Masks and scores
 */
export function booleanMask(
  data: Uint8Array | CapturedTensor,
  shape: readonly number[],
  options: QueryRowsOptions = {},
): MaskMod {
  if (isCapturedTensor(data)) {
    const source = { tensor: data, as: "bool" } as const;
    const seen = queryKeyTensor("booleanMask", source, shape, options);
    return maskMod("booleanMask", seen);
  }
  checkType(
    data instanceof Uint8Array,
    "booleanMask data",
    "must be a Uint8Array, nonzero where a key is seen, or a GPU tensor",
    data,
  );
  const seen = queryKeyData("booleanMask", data, shape, options);
  return maskMod("booleanMask", seen);
}

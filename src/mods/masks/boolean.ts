/**
 * A mask that is given element by element.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { isCapturedTensor } from "../captures/capture_tensor.ts";
import type { CapturedTensor } from "../nodes.ts";
import {
  queryKeyData,
  queryKeyTensor,
  type QueryRowsOptions,
} from "../captures/query_key_data.ts";
import { type MaskMod, maskMod } from "../trace.ts";

/**
 * A given mask: nonzero lets the query see the key. It broadcasts to
 * `[batch, heads, queries, keys]` as NumPy has it: dimensions are aligned at
 * the last, and those of 1 are for all.
 *
 * @param data The elements, row-major; a GPU tensor of u8, u32 or i32 stays on
 * its device, see `capture`.
 * @param shape Of rank 1 to 4, for instance `[queries, keys]`; held against the
 * problem by `attention()`.
 * @throws {TypeError} If `data` is neither, or of another dtype, or `shape` has
 * another rank or does not fit it.
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

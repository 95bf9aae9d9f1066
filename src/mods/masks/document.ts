/**
 * Positions of the same document.
 *
 * @module
 */

import { capture } from "../captures/capture.ts";
import { checkRank } from "../captures/query_key_data.ts";
import { type MaskMod, maskMod } from "../trace.ts";

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
  // Held against its shape before it is numbered anew.
  const { buffer } = capture(ids, { shape, name: "document ids" });
  const captured = capture(inOrder(ids, buffer.shape.at(-1)!), {
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

/**
 * Each row's documents numbered as they come: where they lie one after the
 * other, whatever their ids, the numbers ascend, and ranges of them say exactly
 * which tiles are empty.
 */
function inOrder(ids: Int32Array | Uint32Array, columns: number): Int32Array {
  const numbers = new Int32Array(ids.length);
  for (let start = 0; start < ids.length; start += columns) {
    const known = new Map<number, number>();
    for (let i = start; i < start + columns; i++) {
      let number = known.get(ids[i]);
      if (number === undefined) known.set(ids[i], number = known.size);
      numbers[i] = number;
    }
  }
  return numbers;
}

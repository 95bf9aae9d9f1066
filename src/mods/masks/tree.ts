/**
 * Trees of drafted tokens.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { capture } from "../captures/capture.ts";
import { int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

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
  checkInteger("start", start, 0, 2 ** 31 - 1 - parents.length);
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

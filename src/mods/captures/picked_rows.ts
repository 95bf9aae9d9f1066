/**
 * Mods for some of the queries of each sequence, which keep their positions.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { capture } from "./capture.ts";
import { Int } from "../expression.ts";
import { movedTree } from "./moved_tree.ts";
import type { MaskMod, ScoreMod } from "../trace.ts";

/**
 * Which queries there are.
 *
 * @category Masks and scores
 */
export interface PickedRowsOptions {
  /** The position of each query, in its sequence's keys. */
  readonly positions: Int32Array | Uint32Array | readonly number[];
  /** Where each sequence's queries start, then their end. */
  readonly cuSeqlens: Int32Array | Uint32Array | readonly number[];
}

/**
 * A mod for queries that are only some of their sequences': the `i`-th query of
 * sequence `b` is at `positions[cuSeqlens[b] + i]`, where it would be at `i`
 * from the first one's on. What only some rows are needed of, such as an
 * encoder's last layer, is then computed for those alone, with the results that
 * they have among all.
 *
 * `attention()`'s own `causal`, `window` and `alibi` go by the positions of all
 * queries, so give it mods instead.
 *
 * @throws {TypeError} If `mod` is no mod or reads the query's row, or an option
 * is no array.
 * @throws {RangeError} If there is no query, `cuSeqlens` does not begin with 0,
 * decreases, or does not end with the number of positions, or a position is not
 * an i32.
 *
 * @example The fourth query of a sequence and the second of another
 * ```ts
 * import {
 *   bindRows,
 *   causal,
 *   maskFunction,
 *   pickedRows,
 * } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const mask = pickedRows(causal(), { positions: [3, 1], cuSeqlens: [0, 1, 2] });
 * // As attention() does by itself: one query at the end of four keys each.
 * const sees = maskFunction(bindRows([mask], [3, 3]));
 * assertEquals([2, 3].map((key) => sees(0, 0, 3, key)), [true, true]);
 * assertEquals([1, 2].map((key) => sees(1, 0, 3, key)), [true, false]);
 * ```
 *
 * @category Masks and scores
 */
export function pickedRows<M extends MaskMod | ScoreMod>(
  mod: M,
  options: PickedRowsOptions,
): M {
  checkType(
    mod?.kind === "mask" || mod?.kind === "score",
    "pickedRows()",
    "must be given a mask or a score mod",
    mod,
  );
  checkOptions("pickedRows()", options, { known: ["positions", "cuSeqlens"] });
  const positions = numbersOf("positions", options.positions);
  const starts = numbersOf("cuSeqlens", options.cuSeqlens);
  positions.forEach((position, i) =>
    checkInteger(`positions[${i}]`, position, -(2 ** 31), 2 ** 31 - 1)
  );
  checkInteger("positions.length", positions.length, 1);
  checkInteger("cuSeqlens.length", starts.length, 2);
  checkInteger("cuSeqlens[0]", starts[0], 0, 0);
  const last = starts.length - 1;
  for (let i = 1; i <= last; i++) {
    checkInteger(`cuSeqlens[${i}]`, starts[i], starts[i - 1], positions.length);
  }
  checkInteger(
    `cuSeqlens[${last}]`,
    starts[last],
    positions.length,
    positions.length,
  );
  const start = capture(Int32Array.from(starts.slice(0, -1)), {
    name: "picked rows' cuSeqlens",
    axes: ["batch"],
  });
  const position = capture(Int32Array.from(positions), {
    name: "picked rows' positions",
  });
  const at = (name: "batch" | "row") =>
    new Int({ kind: "variable", type: "i32", name });
  const query = position.at(start.at(at("batch")).add(at("row"))).node;
  const expression = movedTree(mod, { query });
  return { ...mod, name: `pickedRows(${mod.name})`, expression };
}

function numbersOf(name: string, given: unknown): number[] {
  checkType(
    Array.isArray(given) || given instanceof Int32Array ||
      given instanceof Uint32Array,
    name,
    "must be an array of integers",
    given,
  );
  return Array.from(given as readonly number[]);
}

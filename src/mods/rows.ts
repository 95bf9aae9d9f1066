/**
 * The query's row: its index in its sequence, where `query` is its position in
 * the keys' coordinate. Only a problem knows how far the two are apart, for
 * each of its sequences, so a mod that reads the row is bound to those offsets
 * before it is read: the row becomes the position less the offset. No reading
 * and no kernel then knows of rows, and a query that is listed among those of
 * other sequences, by its position and its sequence, has the right one.
 *
 * @module
 */

import { checkInteger, checkType } from "../core/check.ts";
import {
  type BoundName,
  type CapturedBuffer,
  dependsOn,
  type ExpressionNode,
  type VariableName,
} from "./nodes.ts";
import { replaceVariable } from "./rewrite.ts";
import type { MaskMod, ScoreMod } from "./trace.ts";

/**
 * A variable that readings have a value for.
 *
 * @throws {TypeError} For `row`.
 */
export function boundName(name: VariableName): BoundName {
  checkType(
    name !== "row",
    "mod",
    "that reads the query's row must be bound to its sequences' offsets (bindRows())",
    name,
  );
  return name;
}

/**
 * Mods whose `row` is the index of the query in its sequence, where query 0 of
 * sequence `i` is at position `offsets[i]`. Mods that do not read it stay as
 * they are. `attention()` does this by itself.
 *
 * @param offsets The position of query 0 of each sequence.
 * @throws {TypeError} If an offset is not a number.
 * @throws {RangeError} If one is not an i32.
 *
 * @example A mask with a row a query, read elsewhere
 * ```ts
 * import { bindRows, maskFunction, maskMod } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const evenRows = maskMod("even rows", ({ row }) => row.rem(2).eq(0));
 * // Query 0 of the only sequence is at position 5.
 * const sees = maskFunction(bindRows([evenRows], [5]));
 * assertEquals([5, 6].map((query) => sees(0, 0, query, 0)), [true, false]);
 * ```
 *
 * @category Readings
 */
export function bindRows<M extends MaskMod | ScoreMod>(
  mods: readonly M[],
  offsets: readonly number[],
): M[] {
  if (!mods.some(({ expression }) => dependsOn(expression, "row"))) {
    return [...mods];
  }
  const row = rowNode(offsets);
  return mods.map((mod) => ({
    ...mod,
    expression: replaceVariable([mod.expression], "row", row)[0],
  }));
}

/** `query - offset`, with a table of offsets only where they differ. */
function rowNode(offsets: readonly number[]): ExpressionNode {
  offsets.forEach((offset, i) =>
    checkInteger(`offsets[${i}]`, offset, -(2 ** 31), 2 ** 31 - 1)
  );
  const [first = 0] = offsets;
  const offset: ExpressionNode = offsets.every((other) => other === first)
    ? { kind: "literal", type: "i32", value: first }
    : {
      kind: "load",
      type: "i32",
      buffer: offsetTable(offsets),
      indices: [{ kind: "variable", type: "i32", name: "batch" }],
    };
  return {
    kind: "binary",
    type: "i32",
    operation: "sub",
    left: { kind: "variable", type: "i32", name: "query" },
    right: offset,
  };
}

function offsetTable(offsets: readonly number[]): CapturedBuffer {
  return {
    data: Int32Array.from(offsets),
    shape: [offsets.length],
    type: "i32",
    name: "query offsets",
  };
}

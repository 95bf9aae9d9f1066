/**
 * A mod's expression at other positions than the query's and the key's own.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import {
  type CapturedBuffer,
  dependsOn,
  type ExpressionNode,
} from "../nodes.ts";
import { rewrite } from "../rewrite.ts";
import type { MaskMod, ScoreMod } from "../trace.ts";

/** What stands for the query's and the key's positions, where it is another. */
export interface OtherPositions {
  /** The query's. */
  readonly query: ExpressionNode;
  /** The key's; its own by default. */
  readonly key?: ExpressionNode;
}

/**
 * The expression of a mod with `positions` in the place of its own. What it
 * captures a row or a moved column of is no longer held against the problem's
 * size.
 *
 * @throws {TypeError} If it reads the query's row, which stays what it is.
 */
export function movedTree(
  { kind, name, expression }: MaskMod | ScoreMod,
  { query, key }: OtherPositions,
): ExpressionNode {
  checkType(
    !dependsOn(expression, "row"),
    `${kind} ${name}`,
    "must not read the query's row where its positions are others; give it queryOffset",
    name,
  );
  const unsized = new Map<CapturedBuffer, CapturedBuffer>();
  const [moved] = rewrite([expression], (node) => {
    if (node.kind === "variable") {
      if (node.name === "query") return query;
      return node.name === "key" ? key ?? node : node;
    }
    if (node.kind !== "load" || node.buffer.axes === undefined) return node;
    const buffer = unsized.get(node.buffer) ??
      withoutPlaces(node.buffer, key !== undefined);
    unsized.set(node.buffer, buffer);
    return { ...node, buffer };
  });
  return moved;
}

/** A buffer whose sizes are not held against what is elsewhere now. */
function withoutPlaces(
  buffer: CapturedBuffer,
  keysMove: boolean,
): CapturedBuffer {
  const axes = buffer.axes?.map((axis) =>
    axis === "batch" || axis === "head" || axis === "key" && !keysMove
      ? axis
      : undefined
  );
  return { ...buffer, axes };
}

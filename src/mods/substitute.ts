/**
 * A tree with other trees in the place of its variables.
 *
 * @module
 */

import {
  type CapturedBuffer,
  evaluationOrder,
  type ExpressionNode,
  type VariableName,
} from "./nodes.ts";

/** What stands in a variable's place; those that are not named stay. */
export type Replacements = Readonly<
  Partial<Record<VariableName, ExpressionNode>>
>;

/**
 * `root` with `replacements` in the place of its variables; what was shared
 * stays shared.
 *
 * @param bufferOf What is read in the place of a captured buffer; itself by
 * default.
 */
export function substitute(
  root: ExpressionNode,
  replacements: Replacements,
  bufferOf: (buffer: CapturedBuffer) => CapturedBuffer = (buffer) => buffer,
): ExpressionNode {
  const replaced = new Map<ExpressionNode, ExpressionNode>();
  const of = (node: ExpressionNode) => replaced.get(node)!;
  for (const node of evaluationOrder(root)) {
    replaced.set(
      node,
      node.kind === "variable"
        ? replacements[node.name] ?? node
        : node.kind === "load"
        ? {
          ...node,
          buffer: bufferOf(node.buffer),
          indices: node.indices.map(of),
        }
        : withOperands(node, of),
    );
  }
  return of(root);
}

/** A node with other operands. */
function withOperands(
  node: Exclude<ExpressionNode, { readonly kind: "load" | "variable" }>,
  of: (operand: ExpressionNode) => ExpressionNode,
): ExpressionNode {
  switch (node.kind) {
    case "literal":
      return node;
    case "unary":
      return { ...node, operand: of(node.operand) };
    case "binary":
    case "compare":
      return { ...node, left: of(node.left), right: of(node.right) };
    case "select":
      return {
        ...node,
        condition: of(node.condition),
        whenTrue: of(node.whenTrue),
        whenFalse: of(node.whenFalse),
      };
  }
}

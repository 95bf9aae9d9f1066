/**
 * Trees with other nodes in the place of some.
 *
 * @module
 */

import { evaluationOrder, type ExpressionNode } from "./nodes.ts";

/**
 * A tree in which each node is what `change` makes of it, operands before what
 * uses them; what is shared stays shared.
 */
export function rewrite(
  root: ExpressionNode,
  change: (node: ExpressionNode) => ExpressionNode,
): ExpressionNode {
  const changed = new Map<ExpressionNode, ExpressionNode>();
  const of = (node: ExpressionNode) => changed.get(node)!;
  for (const node of evaluationOrder(root)) {
    changed.set(node, change(withOperands(node, of)));
  }
  return of(root);
}

/** A node with other operands. */
function withOperands(
  node: ExpressionNode,
  of: (operand: ExpressionNode) => ExpressionNode,
): ExpressionNode {
  switch (node.kind) {
    case "literal":
    case "variable":
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
    case "load":
      return { ...node, indices: node.indices.map(of) };
  }
}

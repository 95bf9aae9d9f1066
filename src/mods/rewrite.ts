/**
 * Trees with other nodes in the place of some.
 *
 * @module
 */

import {
  evaluationOrder,
  type ExpressionNode,
  operandsOf,
  type VariableName,
} from "./nodes.ts";

/**
 * Trees in which each node is what `change` makes of it, operands before what
 * uses them; what they share stays shared, and what does not change stays.
 */
export function rewrite(
  roots: readonly ExpressionNode[],
  change: (node: ExpressionNode) => ExpressionNode,
): ExpressionNode[] {
  const changed = new Map<ExpressionNode, ExpressionNode>();
  const of = (node: ExpressionNode) => changed.get(node)!;
  for (const root of roots) {
    for (const node of evaluationOrder(root)) {
      if (!changed.has(node)) changed.set(node, change(withOperands(node, of)));
    }
  }
  return roots.map(of);
}

/** Trees with `value` in the place of a variable. */
export function replaceVariable(
  roots: readonly ExpressionNode[],
  name: VariableName,
  value: ExpressionNode,
): ExpressionNode[] {
  return rewrite(
    roots,
    (node) => node.kind === "variable" && node.name === name ? value : node,
  );
}

/** A node with other operands; itself where they are the same. */
function withOperands(
  node: ExpressionNode,
  of: (operand: ExpressionNode) => ExpressionNode,
): ExpressionNode {
  if (operandsOf(node).every((operand) => of(operand) === operand)) return node;
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

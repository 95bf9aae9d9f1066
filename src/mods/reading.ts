/**
 * One walk for every reading that computes values: a reading says what each
 * node means in its domain, {@linkcode compile} turns a tree into a function.
 *
 * @module
 */

import {
  type BinaryNode,
  type BoundName,
  type CompareNode,
  evaluationOrder,
  type ExpressionNode,
  type LiteralNode,
  type LoadNode,
  type SelectNode,
  type UnaryNode,
} from "./nodes.ts";
import { boundName } from "./rows.ts";

/** The meaning of each kind of node for values of type `Value`. */
export interface Reading<Value> {
  /** The value of a literal. */
  literal(node: LiteralNode): Value;
  /** The function of a unary node. */
  unary(node: UnaryNode): (operand: Value) => Value;
  /** The function of a binary node. */
  binary(node: BinaryNode): (left: Value, right: Value) => Value;
  /** The function of a comparison. */
  compare(node: CompareNode): (left: Value, right: Value) => Value;
  /** The function of a choice. */
  select(
    node: SelectNode,
  ): (condition: Value, whenTrue: Value, whenFalse: Value) => Value;
  /** The function that reads a captured buffer. */
  load(node: LoadNode): (indices: readonly Value[]) => Value;
}

/** A value for every variable. */
export type Environment<Value> = Readonly<Record<BoundName, Value>>;

type Step<Value> = (
  values: readonly Value[],
  environment: Environment<Value>,
) => Value;

/**
 * The function that a tree computes; shared nodes are computed once.
 *
 * @throws {TypeError} If the tree reads the query's row and is not bound.
 */
export function compile<Value>(
  root: ExpressionNode,
  reading: Reading<Value>,
): (environment: Environment<Value>) => Value {
  const order = evaluationOrder(root);
  const slots = new Map(order.map((node, slot) => [node, slot]));
  const steps = order.map((node) =>
    step(node, reading, (operand) => slots.get(operand)!)
  );
  return (environment) => {
    const values: Value[] = [];
    for (const run of steps) values.push(run(values, environment));
    return values[values.length - 1];
  };
}

function step<Value>(
  node: ExpressionNode,
  reading: Reading<Value>,
  slot: (operand: ExpressionNode) => number,
): Step<Value> {
  switch (node.kind) {
    case "literal": {
      const value = reading.literal(node);
      return () => value;
    }
    case "variable": {
      const name = boundName(node.name);
      return (_, environment) => environment[name];
    }
    case "unary": {
      const apply = reading.unary(node);
      const operand = slot(node.operand);
      return (values) => apply(values[operand]);
    }
    case "binary":
    case "compare": {
      const apply = node.kind === "binary"
        ? reading.binary(node)
        : reading.compare(node);
      const [left, right] = [slot(node.left), slot(node.right)];
      return (values) => apply(values[left], values[right]);
    }
    case "select": {
      const apply = reading.select(node);
      const condition = slot(node.condition);
      const [yes, no] = [slot(node.whenTrue), slot(node.whenFalse)];
      return (values) => apply(values[condition], values[yes], values[no]);
    }
    case "load": {
      const apply = reading.load(node);
      const indices = node.indices.map(slot);
      return (values) => apply(indices.map((index) => values[index]));
    }
  }
}

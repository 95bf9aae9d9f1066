/**
 * The expression tree behind score and mask mods: plain, immutable nodes that
 * every reading (WGSL, float64, interval) walks.
 *
 * @module
 */

/**
 * The type of an expression's value, named as in WGSL.
 *
 * @category Expressions
 */
export type ScalarType = "f32" | "i32" | "bool";

/**
 * What a mod may depend on, apart from literals and captured buffers.
 *
 * @category Expressions
 */
export type VariableName =
  | "score"
  | "batch"
  | "head"
  | "query"
  | "key"
  | "row";

/**
 * What readings have a value for: all but `row`, which a problem turns into
 * the query's position less its sequence's offset (`./rows.ts`).
 */
export type BoundName = Exclude<VariableName, "row">;

/**
 * Host arrays that can be captured; the class decides the element's type.
 *
 * @category Expressions
 */
export type CapturedData =
  | Float32Array
  | Int32Array
  | Uint32Array
  | Uint8Array;

/**
 * A tensor on a device that can be captured; a `GpuTensor` is one.
 *
 * @category Expressions
 */
export interface CapturedTensor {
  /** Where it lives. */
  readonly gpu: object;
  /** The type of its elements. */
  readonly dtype: "f32" | "f16" | "u32" | "i32" | "u8";
  /** The lengths of its dimensions, outermost first. */
  readonly shape: readonly number[];
  /** The number of its elements. */
  readonly size: number;
  /** Whether its memory is freed. */
  readonly destroyed: boolean;
}

/**
 * How an element on a device is read: `"float"`, what is not finite as 0;
 * `"int"`, by its bits; `"bool"`, true where it is not 0; `"finite"`, whether a
 * float is a finite number.
 *
 * @category Expressions
 */
export type DeviceReading = "float" | "int" | "bool" | "finite";

/**
 * Elements that stay on a device: kernels read them, the CPU never does.
 *
 * @category Expressions
 */
export interface DeviceData {
  /** Where they are. */
  readonly tensor: CapturedTensor;
  /** What an element is read as. */
  readonly as: DeviceReading;
  /** The least and the greatest element, where a caller has said so. */
  readonly range?: readonly [number, number] | undefined;
}

/**
 * What a dimension of a captured buffer runs over, so that a problem can be
 * held against its size: one entry a sequence, query head, query (`"row"`) or
 * key, or one a position from `from` on.
 *
 * @category Expressions
 */
export type CapturedAxis =
  | "batch"
  | "head"
  | "row"
  | "key"
  | { readonly from: number };

/**
 * A buffer that a mod reads. Two captures are the same if it is one object.
 *
 * @category Expressions
 */
export interface CapturedBuffer {
  /**
   * The elements in row-major order: on the host, where they are read when a mod
   * is emitted or evaluated, or on a device.
   */
  readonly data: CapturedData | DeviceData;
  /** The size of each dimension; every one is at least 1. */
  readonly shape: readonly number[];
  /** The type that an element is read as. */
  readonly type: ScalarType;
  /** A name for people; it never reaches the emitted source. */
  readonly name: string;
  /** What each dimension runs over, where that is known. */
  readonly axes?: readonly (CapturedAxis | undefined)[] | undefined;
  /** The shape as a caller gave it, where dimensions of 1 were left out. */
  readonly given?: readonly number[] | undefined;
}

/**
 * A constant. Its value never shows in the emitted source (but for bools).
 *
 * @category Expressions
 */
export interface LiteralNode {
  /** Tells the kinds of node apart. */
  readonly kind: "literal";
  /** The type of the value. */
  readonly type: ScalarType;
  /**
   * The value: a float32 (a float64 near one where a derivative was
   * simplified), an i32, or 0 and 1 for `false` and `true`.
   */
  readonly value: number;
}

/**
 * One of the inputs of a mod.
 *
 * @category Expressions
 */
export interface VariableNode {
  /** Tells the kinds of node apart. */
  readonly kind: "variable";
  /** The type of the value: `f32` for `score`, else `i32`. */
  readonly type: ScalarType;
  /** Which input. */
  readonly name: VariableName;
}

/**
 * The operations on one operand.
 *
 * @category Expressions
 */
export type UnaryOperation =
  | "neg"
  | "abs"
  | "exp"
  | "log"
  | "sqrt"
  | "tanh"
  | "floor"
  | "not"
  | "toFloat";

/**
 * An operation on one operand.
 *
 * @category Expressions
 */
export interface UnaryNode {
  /** Tells the kinds of node apart. */
  readonly kind: "unary";
  /** The type of the result. */
  readonly type: ScalarType;
  /** Which operation. */
  readonly operation: UnaryOperation;
  /** What it is applied to. */
  readonly operand: ExpressionNode;
}

/**
 * The operations on two operands of the result's type.
 *
 * @category Expressions
 */
export type BinaryOperation =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "rem"
  | "xor"
  | "shr"
  | "min"
  | "max"
  | "and"
  | "or";

/**
 * An operation on two operands of the result's type.
 *
 * @category Expressions
 */
export interface BinaryNode {
  /** Tells the kinds of node apart. */
  readonly kind: "binary";
  /** The type of the result and of both operands. */
  readonly type: ScalarType;
  /** Which operation. */
  readonly operation: BinaryOperation;
  /** The first operand. */
  readonly left: ExpressionNode;
  /** The second operand. */
  readonly right: ExpressionNode;
}

/**
 * The comparisons.
 *
 * @category Expressions
 */
export type Comparison = "lt" | "le" | "gt" | "ge" | "eq" | "ne";

/**
 * A comparison of two numbers of one type.
 *
 * @category Expressions
 */
export interface CompareNode {
  /** Tells the kinds of node apart. */
  readonly kind: "compare";
  /** The type of the result. */
  readonly type: "bool";
  /** Which comparison. */
  readonly operation: Comparison;
  /** The first operand. */
  readonly left: ExpressionNode;
  /** The second operand. */
  readonly right: ExpressionNode;
}

/**
 * A choice between two values; both are computed.
 *
 * @category Expressions
 */
export interface SelectNode {
  /** Tells the kinds of node apart. */
  readonly kind: "select";
  /** The type of the result and of both choices. */
  readonly type: ScalarType;
  /** What decides. */
  readonly condition: ExpressionNode;
  /** The value where the condition holds. */
  readonly whenTrue: ExpressionNode;
  /** The value where it does not. */
  readonly whenFalse: ExpressionNode;
}

/**
 * An element of a captured buffer, each index clamped to its dimension.
 *
 * @category Expressions
 */
export interface LoadNode {
  /** Tells the kinds of node apart. */
  readonly kind: "load";
  /** The type of the element. */
  readonly type: ScalarType;
  /** The buffer. */
  readonly buffer: CapturedBuffer;
  /** One `i32` index per dimension. */
  readonly indices: readonly ExpressionNode[];
}

/**
 * Any node of the tree.
 *
 * @category Expressions
 */
export type ExpressionNode =
  | LiteralNode
  | VariableNode
  | UnaryNode
  | BinaryNode
  | CompareNode
  | SelectNode
  | LoadNode;

/** The nodes that `node` is computed from, in order. */
export function operandsOf(node: ExpressionNode): readonly ExpressionNode[] {
  switch (node.kind) {
    case "literal":
    case "variable":
      return [];
    case "unary":
      return [node.operand];
    case "binary":
    case "compare":
      return [node.left, node.right];
    case "select":
      return [node.condition, node.whenTrue, node.whenFalse];
    case "load":
      return node.indices;
  }
}

/**
 * Every node that `root` is computed from, each once, operands before what
 * uses them, `root` last. It keeps its own stack, so depth is not a limit.
 */
export function evaluationOrder(root: ExpressionNode): ExpressionNode[] {
  const order: ExpressionNode[] = [];
  const seen = new Set<ExpressionNode>();
  const stack: { node: ExpressionNode; next: number }[] = [];
  const enter = (node: ExpressionNode) => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, next: 0 });
  };
  enter(root);
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    const operands = operandsOf(top.node);
    if (top.next < operands.length) {
      enter(operands[top.next++]);
    } else {
      order.push(top.node);
      stack.pop();
    }
  }
  return order;
}

/** Whether `root` depends on the variable `name`. */
export function dependsOn(root: ExpressionNode, name: VariableName): boolean {
  return evaluationOrder(root).some((node) =>
    node.kind === "variable" && node.name === name
  );
}

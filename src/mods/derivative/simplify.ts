/**
 * Float expressions made by rule: each operation as the simplest tree that has
 * the same value, where every rule is exact (there are no infinities and no
 * NaN in a mod). What is made twice is one node, so that a reading computes it
 * once.
 *
 * @module
 */

import type {
  BinaryNode,
  BinaryOperation,
  Comparison,
  ExpressionNode,
  UnaryOperation,
} from "../nodes.ts";

/** Makes simplified float expressions; nodes are shared within one of it. */
export class Simplifier {
  readonly #ids = new Map<ExpressionNode, number>();
  readonly #made = new Map<string, ExpressionNode>();

  /** A constant; divisions of constants stay, to meet their factors. */
  literal(value: number): ExpressionNode {
    return this.#make(`literal ${Object.is(value, -0) ? "-0" : value}`, () => ({
      kind: "literal",
      type: "f32",
      value,
    }));
  }

  /** `a + b`. */
  add(a: ExpressionNode, b: ExpressionNode): ExpressionNode {
    if (isLiteral(a, 0)) return b;
    if (isLiteral(b, 0)) return a;
    const negated = negatedOf(b);
    if (negated) return this.sub(a, negated);
    return this.#fold("add", a, b, (x, y) => x + y);
  }

  /** `a - b`. */
  sub(a: ExpressionNode, b: ExpressionNode): ExpressionNode {
    if (a === b) return this.literal(0);
    if (isLiteral(b, 0)) return a;
    if (isLiteral(a, 0)) return this.neg(b);
    const negated = negatedOf(b);
    if (negated) return this.add(a, negated);
    return this.#fold("sub", a, b, (x, y) => x - y);
  }

  /** `a * b`. */
  mul(a: ExpressionNode, b: ExpressionNode): ExpressionNode {
    if (isLiteral(a, 0) || isLiteral(b, 0)) return this.literal(0);
    if (isLiteral(a, 1)) return b;
    if (isLiteral(b, 1)) return a;
    if (isLiteral(a, -1)) return this.neg(b);
    if (isLiteral(b, -1)) return this.neg(a);
    // Quotients go outwards, where (x / c) * c is x.
    if (isQuotient(a)) {
      return isSame(a.right, b)
        ? a.left
        : this.div(this.mul(a.left, b), a.right);
    }
    if (isQuotient(b)) {
      return isSame(b.right, a)
        ? b.left
        : this.div(this.mul(a, b.left), b.right);
    }
    const [left, right] = [negatedOf(a), negatedOf(b)];
    if (left || right) {
      const product = this.mul(left ?? a, right ?? b);
      return left && right ? product : this.neg(product);
    }
    return this.#fold("mul", a, b, (x, y) => x * y);
  }

  /** `a / b`. */
  div(a: ExpressionNode, b: ExpressionNode): ExpressionNode {
    if (isLiteral(a, 0)) return a;
    if (isLiteral(b, 1)) return a;
    if (isLiteral(b, -1)) return this.neg(a);
    if (a === b) return this.literal(1);
    const negated = negatedOf(a);
    if (negated) return this.neg(this.div(negated, b));
    return this.binary("div", a, b);
  }

  /** `-a`. */
  neg(a: ExpressionNode): ExpressionNode {
    if (a.kind === "literal") return this.literal(a.value === 0 ? 0 : -a.value);
    return negatedOf(a) ?? this.unary("neg", a);
  }

  /** Another operation on one float. */
  unary(operation: UnaryOperation, operand: ExpressionNode): ExpressionNode {
    return this.#make(`${operation} ${this.#id(operand)}`, () => ({
      kind: "unary",
      type: "f32",
      operation,
      operand,
    }));
  }

  /** An operation on two floats as it stands. */
  binary(
    operation: BinaryOperation,
    left: ExpressionNode,
    right: ExpressionNode,
  ): ExpressionNode {
    const name = `${operation} ${this.#id(left)} ${this.#id(right)}`;
    return this.#make(name, () => ({
      kind: "binary",
      type: "f32",
      operation,
      left,
      right,
    }));
  }

  /** A comparison of two floats. */
  compare(
    operation: Comparison,
    left: ExpressionNode,
    right: ExpressionNode,
  ): ExpressionNode {
    const name = `${operation} ${this.#id(left)} ${this.#id(right)}`;
    return this.#make(name, () => ({
      kind: "compare",
      type: "bool",
      operation,
      left,
      right,
    }));
  }

  /** One of two floats. */
  select(
    condition: ExpressionNode,
    whenTrue: ExpressionNode,
    whenFalse: ExpressionNode,
  ): ExpressionNode {
    if (isSame(whenTrue, whenFalse)) return whenTrue;
    if (condition.kind === "literal") {
      return condition.value === 1 ? whenTrue : whenFalse;
    }
    const parts = [condition, whenTrue, whenFalse].map((node) =>
      this.#id(node)
    );
    return this.#make(`select ${parts.join(" ")}`, () => ({
      kind: "select",
      type: "f32",
      condition,
      whenTrue,
      whenFalse,
    }));
  }

  /**
   * An operation, done now on two constants, whatever their values, so that the
   * tree's structure does not depend on them. The result stays a float64 until
   * it is emitted.
   */
  #fold(
    operation: BinaryOperation,
    a: ExpressionNode,
    b: ExpressionNode,
    apply: (x: number, y: number) => number,
  ): ExpressionNode {
    if (a.kind === "literal" && b.kind === "literal") {
      const value = apply(a.value, b.value);
      if (Number.isFinite(Math.fround(value))) return this.literal(value);
    }
    return this.binary(operation, a, b);
  }

  #make(name: string, node: () => ExpressionNode): ExpressionNode {
    let made = this.#made.get(name);
    if (made === undefined) this.#made.set(name, made = node());
    return made;
  }

  #id(node: ExpressionNode): number {
    let id = this.#ids.get(node);
    if (id === undefined) this.#ids.set(node, id = this.#ids.size);
    return id;
  }
}

/** Whether a node is the constant `value`. */
export function isLiteral(node: ExpressionNode, value: number): boolean {
  return node.kind === "literal" && node.value === value;
}

function isSame(a: ExpressionNode, b: ExpressionNode): boolean {
  return a === b || (a.kind === "literal" && isLiteral(b, a.value));
}

/** What `node` is the negative of, if it was made so. */
function negatedOf(node: ExpressionNode): ExpressionNode | undefined {
  return node.kind === "unary" && node.operation === "neg"
    ? node.operand
    : undefined;
}

function isQuotient(
  node: ExpressionNode,
): node is BinaryNode {
  return node.kind === "binary" && node.operation === "div";
}

/**
 * Typed expressions with method chaining: `Float` (f32), `Int` (i32) and
 * `Bool`. A mod is a function of such expressions; calling it once traces the
 * tree of `./nodes.ts`, and nothing is computed until a reading walks it.
 *
 * Plain numbers are accepted wherever an operand is, as literals of the type
 * that the method needs. `Int` and `Float` never mix silently: convert with
 * {@linkcode Int.toFloat}.
 *
 * @module
 */

import { show } from "../core/check.ts";
import { noteCondition } from "./conditions.ts";
import { literalNode, OPERANDS } from "./literal.ts";
import type {
  BinaryOperation,
  Comparison,
  ExpressionNode,
  ScalarType,
  UnaryOperation,
} from "./nodes.ts";

/**
 * What {@linkcode Float} and {@linkcode Int} share.
 *
 * @example What numbers can do
 * ```ts
 * import { maskMod, scoreMod } from "@quire/attention/mods";
 *
 * maskMod("near", ({ query, key }) => query.sub(key).abs().le(4));
 * scoreMod("capped", ({ score }) => score.min(10).max(-10));
 * ```
 *
 * @category Expressions
 */
export abstract class Numeric<Self extends Numeric<Self>> {
  /** The tree that this expression stands for. */
  readonly node: ExpressionNode;

  /** Wraps a node of the class's type. */
  constructor(node: ExpressionNode) {
    this.node = node;
  }

  /** An expression of this class for `node`. */
  protected abstract wrap(node: ExpressionNode): Self;

  /** A unary operation whose result has this class. */
  protected unary(operation: UnaryOperation): Self {
    const { type } = this.node;
    return this.wrap({ kind: "unary", type, operation, operand: this.node });
  }

  /** A binary operation on operands of this class. */
  protected binary(operation: BinaryOperation, other: Self | number): Self {
    const { type } = this.node;
    const right = operandNode(`${operation}() operand`, type, other);
    return this.wrap({
      kind: "binary",
      type,
      operation,
      left: this.node,
      right,
    });
  }

  /** JavaScript's own operators have no value to work on; says what to write. */
  [Symbol.toPrimitive](): never {
    return refuseOperator(
      this.node.type === "f32" ? "a Float" : "an Int",
      "a.add(b), a.sub(b), a.mul(b), a.div(b), a.neg() for a + b, a - b, a * b, a / b, -a, and a.lt(b), a.le(b), a.gt(b), a.ge(b) for a < b, a <= b, a > b, a >= b",
    );
  }

  #compare(operation: Comparison, other: Self | number): Bool {
    const right = operandNode(`${operation}() operand`, this.node.type, other);
    const left = this.node;
    return new Bool({ kind: "compare", type: "bool", operation, left, right });
  }

  /** `this + other`. */
  add(other: Self | number): Self {
    return this.binary("add", other);
  }

  /** `this - other`. */
  sub(other: Self | number): Self {
    return this.binary("sub", other);
  }

  /** `this * other`. */
  mul(other: Self | number): Self {
    return this.binary("mul", other);
  }

  /**
   * `this / other`. For `Int` it truncates towards zero, and division by zero
   * gives `this`, as in WGSL. For `Float`, see {@linkcode Float}.
   */
  div(other: Self | number): Self {
    return this.binary("div", other);
  }

  /** `-this`. */
  neg(): Self {
    return this.unary("neg");
  }

  /** The absolute value. */
  abs(): Self {
    return this.unary("abs");
  }

  /** The smaller of `this` and `other`. */
  min(other: Self | number): Self {
    return this.binary("min", other);
  }

  /** The larger of `this` and `other`. */
  max(other: Self | number): Self {
    return this.binary("max", other);
  }

  /** `this < other`. */
  lt(other: Self | number): Bool {
    return this.#compare("lt", other);
  }

  /** `this <= other`. */
  le(other: Self | number): Bool {
    return this.#compare("le", other);
  }

  /** `this > other`. */
  gt(other: Self | number): Bool {
    return this.#compare("gt", other);
  }

  /** `this >= other`. */
  ge(other: Self | number): Bool {
    return this.#compare("ge", other);
  }

  /** `this === other`. */
  eq(other: Self | number): Bool {
    return this.#compare("eq", other);
  }

  /** `this !== other`. */
  ne(other: Self | number): Bool {
    return this.#compare("ne", other);
  }
}

/**
 * A float32 expression.
 *
 * Infinities and NaN have no meaning in it, as WGSL may assume that there are
 * none: a mod must not divide by zero, take the logarithm of what is not
 * positive or the root of what is negative, even in the branch of a `select`
 * that is not chosen, and must not overflow.
 *
 * @example A score that is squashed
 * ```ts
 * import { scoreMod } from "@quire/attention/mods";
 *
 * scoreMod("squashed", ({ score }) => score.mul(0.1).tanh().mul(10));
 * ```
 *
 * @category Expressions
 */
export class Float extends Numeric<Float> {
  /** Tells the classes apart. */
  readonly type = "f32";

  /** An expression of this class for `node`. */
  protected override wrap(node: ExpressionNode): Float {
    return new Float(node);
  }

  /** `e` to the power `this`. */
  exp(): Float {
    return this.unary("exp");
  }

  /** The natural logarithm; `this` must be positive. */
  log(): Float {
    return this.unary("log");
  }

  /** The square root; `this` must not be negative. */
  sqrt(): Float {
    return this.unary("sqrt");
  }

  /** The hyperbolic tangent; any finite argument is safe. */
  tanh(): Float {
    return this.unary("tanh");
  }

  /** The largest whole number not above `this`, still a `Float`. */
  floor(): Float {
    return this.unary("floor");
  }
}

/**
 * An i32 expression; results wrap around at 32 bits, as in WGSL.
 *
 * @example Every third key
 * ```ts
 * import { maskMod } from "@quire/attention/mods";
 *
 * maskMod("every third", ({ key }) => key.rem(3).eq(0));
 * ```
 *
 * @category Expressions
 */
export class Int extends Numeric<Int> {
  /** Tells the classes apart. */
  readonly type = "i32";

  /** An expression of this class for `node`. */
  protected override wrap(node: ExpressionNode): Int {
    return new Int(node);
  }

  /**
   * The remainder of the truncated division: it has the sign of `this`, and is
   * 0 where `other` is 0, as in WGSL.
   */
  rem(other: Int | number): Int {
    return this.binary("rem", other);
  }

  /** The bits that differ. */
  xor(other: Int | number): Int {
    return this.binary("xor", other);
  }

  /**
   * The bits shifted down by `other`, modulo 32; zeros come in, also where
   * `this` is negative.
   */
  shr(other: Int | number): Int {
    return this.binary("shr", other);
  }

  /** The nearest float32; exact up to 2^24 in magnitude. */
  toFloat(): Float {
    const operand = this.node;
    return new Float({
      kind: "unary",
      type: "f32",
      operation: "toFloat",
      operand,
    });
  }
}

/**
 * A boolean expression.
 *
 * @example A condition that chooses
 * ```ts
 * import { scoreMod } from "@quire/attention/mods";
 *
 * scoreMod(
 *   "farther is less",
 *   ({ score, query, key }) =>
 *     query.sub(key).gt(16).and(key.gt(0)).select(score.sub(1), score),
 * );
 * ```
 *
 * @category Expressions
 */
export class Bool {
  /** Tells the classes apart. */
  readonly type = "bool";
  /** The tree that this expression stands for. */
  readonly node: ExpressionNode;

  /** Wraps a node of type `bool`. */
  constructor(node: ExpressionNode) {
    this.node = node;
    if (node.kind !== "literal") noteCondition(node);
  }

  /** JavaScript's own operators have no value to work on; says what to write. */
  [Symbol.toPrimitive](): never {
    return refuseOperator(
      "a Bool",
      "a.and(b), a.or(b), a.not() and a.select(x, y)",
    );
  }

  #binary(operation: "and" | "or", other: Bool | boolean): Bool {
    const right = operandNode(`${operation}() operand`, "bool", other);
    const left = this.node;
    return new Bool({ kind: "binary", type: "bool", operation, left, right });
  }

  /** Whether both hold. */
  and(other: Bool | boolean): Bool {
    return this.#binary("and", other);
  }

  /** Whether either holds. */
  or(other: Bool | boolean): Bool {
    return this.#binary("or", other);
  }

  /** Whether this does not hold. */
  not(): Bool {
    const operand = this.node;
    return new Bool({ kind: "unary", type: "bool", operation: "not", operand });
  }

  /**
   * `whenTrue` where this holds, `whenFalse` elsewhere; both are computed.
   * At least one must be an expression, as two numbers do not tell the type.
   */
  select(whenTrue: Float, whenFalse: Float | number): Float;
  /** The same with a literal for the first choice. */
  select(whenTrue: number, whenFalse: Float): Float;
  /** The same for `Int`. */
  select(whenTrue: Int, whenFalse: Int | number): Int;
  /** The same for `Int` with a literal for the first choice. */
  select(whenTrue: number, whenFalse: Int): Int;
  /** The same for `Bool`. */
  select(whenTrue: Bool, whenFalse: Bool | boolean): Bool;
  /** The same for `Bool` with a literal for the first choice. */
  select(whenTrue: boolean, whenFalse: Bool): Bool;
  select(whenTrue: Operand, whenFalse: Operand): Expression {
    const typed = isExpression(whenTrue) ? whenTrue : whenFalse;
    if (!isExpression(typed)) {
      throw new TypeError(
        `select() choices must include an expression (see float() and int()): current values are ${
          show(whenTrue)
        } and ${show(whenFalse)}`,
      );
    }
    const { type } = typed;
    return expressionOf({
      kind: "select",
      type,
      condition: this.node,
      whenTrue: operandNode("select() choice", type, whenTrue),
      whenFalse: operandNode("select() choice", type, whenFalse),
    });
  }
}

/**
 * An expression of any type.
 *
 * @category Expressions
 */
export type Expression = Float | Int | Bool;

/** An expression or a literal. */
type Operand = Expression | number | boolean;

/** The class that goes with a node's type. */
export function expressionOf(node: ExpressionNode): Expression {
  if (node.type === "f32") return new Float(node);
  return node.type === "i32" ? new Int(node) : new Bool(node);
}

function refuseOperator(what: string, write: string): never {
  throw new TypeError(
    `${what} must not be given to JavaScript's own operators, which run before there is a value; write ${write}: current value is an expression`,
  );
}

function isExpression(value: unknown): value is Expression {
  return value instanceof Float || value instanceof Int ||
    value instanceof Bool;
}

/**
 * A float32 literal: `value` is rounded to float32.
 *
 * @throws {TypeError} If `value` is not a number.
 * @throws {RangeError} If it is not finite as a float32.
 *
 * @example A constant among expressions
 * ```ts
 * import { float, scoreMod } from "@quire/attention/mods";
 *
 * scoreMod(
 *   "one of two",
 *   ({ score, head }) => score.mul(head.eq(0).select(float(0.5), 1)),
 * );
 * ```
 *
 * @category Expressions
 */
export function float(value: number): Float {
  return new Float(literalNode("float() value", "f32", value));
}

/**
 * An i32 literal.
 *
 * @throws {TypeError} If `value` is not a number.
 * @throws {RangeError} If it is not an integer in the range of i32.
 *
 * @example A constant among expressions
 * ```ts
 * import { int, maskMod } from "@quire/attention/mods";
 *
 * maskMod(
 *   "two windows",
 *   ({ query, key, head }) =>
 *     query.sub(key).le(head.lt(4).select(int(16), 256)),
 * );
 * ```
 *
 * @category Expressions
 */
export function int(value: number): Int {
  return new Int(literalNode("int() value", "i32", value));
}

/**
 * A boolean literal. It is part of a mod's structure: unlike a number, it is
 * written into the emitted source.
 *
 * @throws {TypeError} If `value` is not a boolean.
 *
 * @example A mask that hides nothing
 * ```ts
 * import { bool, maskFunction, maskMod } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const all = maskMod("all", () => bool(true));
 * assertEquals(maskFunction([all])(0, 0, 0, 9), true);
 * ```
 *
 * @category Expressions
 */
export function bool(value: boolean): Bool {
  return new Bool(literalNode("bool() value", "bool", value));
}

/**
 * The node of an operand of type `type`: an expression's own, or a literal's.
 *
 * @throws {TypeError} If `value` is neither of that type nor a literal for it.
 * @throws {RangeError} If a literal is out of the type's range.
 */
export function operandNode(
  name: string,
  type: ScalarType,
  value: unknown,
): ExpressionNode {
  if (!isExpression(value)) return literalNode(name, type, value);
  if (value.type !== type) {
    const hint = value instanceof Int && type === "f32"
      ? "; convert it with toFloat()"
      : "";
    throw new TypeError(
      `${name} must be ${OPERANDS[type]}${hint}: current value is ${
        show(value)
      }`,
    );
  }
  return value.node;
}

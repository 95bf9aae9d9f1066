/**
 * The fourth reading: the derivative of a mod, as an expression again, which
 * the other readings then take.
 *
 * Where a function has a corner, its derivative there is one of its sides':
 * `|x|` has 0 at 0; `min` and `max` have their first operand's where both are
 * equal; `sqrt` has 0 at 0, where it would be infinite. What is constant
 * between jumps (`floor`, comparisons, integers, the condition of a `select`)
 * has 0 everywhere.
 *
 * @module
 */

import { evaluator, type ScoreFunction } from "../evaluate.ts";
import {
  type BinaryNode,
  evaluationOrder,
  type ExpressionNode,
  type UnaryNode,
} from "../nodes.ts";
import { replaceVariable } from "../rewrite.ts";
import { Simplifier } from "./simplify.ts";
import type { ScoreMod } from "../trace.ts";

/** The least normal float32, below which a root is not divided by. */
const LEAST = 2 ** -126;

/** Which nodes count as the variable. */
type IsVariable = (node: ExpressionNode) => boolean;

/** Whether a node is the score. */
export const isScore: IsVariable = (node) =>
  node.kind === "variable" && node.name === "score";

/**
 * The derivative of a list of score mods, applied in order, with respect to the
 * score that the list is given: by the chain rule, each mod's derivative at
 * what the mods before it made of the score.
 *
 * @throws {TypeError} If an operation in a mod has no derivative.
 */
export function scoreDerivativeNode(
  mods: readonly ScoreMod[],
): ExpressionNode {
  const make = new Simplifier();
  let score: ExpressionNode = { kind: "variable", type: "f32", name: "score" };
  let product = make.literal(1);
  for (const [index, mod] of mods.entries()) {
    const slope = differentiate(mod, isScore, make);
    const replaced = replaceVariable([slope, mod.expression], "score", score);
    product = make.mul(product, replaced[0]);
    if (index < mods.length - 1) score = replaced[1];
  }
  return product;
}

/**
 * The derivative of score mods with respect to the score that they are given,
 * as one function in float64; 1 when there are none. The oracle's backward
 * takes it.
 *
 * @throws {TypeError} If an operation in a mod has no derivative.
 *
 * @example A soft cap flattens large scores
 * ```ts
 * import { softcap } from "@quire/attention";
 * import { scoreDerivative } from "@quire/attention/mods";
 *
 * const slope = scoreDerivative([softcap(50)]);
 * console.log(slope(0, 0, 0, 0, 0)); // 1
 * console.log(slope(100, 0, 0, 0, 0)); // 0.0707, which is 1 - tanh(2)^2
 * ```
 *
 * @category Readings
 */
export function scoreDerivative(mods: readonly ScoreMod[]): ScoreFunction {
  return evaluator(scoreDerivativeNode(mods));
}

/**
 * The derivative of one mod's expression with respect to the nodes that
 * `isVariable` picks, made by `make`.
 *
 * @throws {TypeError} If an operation has no derivative: names it and the mod.
 */
export function differentiate(
  mod: ScoreMod,
  isVariable: IsVariable,
  make: Simplifier,
): ExpressionNode {
  const zero = make.literal(0);
  const slopes = new Map<ExpressionNode, ExpressionNode>();
  const of = (node: ExpressionNode) => slopes.get(node)!;
  for (const node of evaluationOrder(mod.expression)) {
    slopes.set(node, isVariable(node) ? make.literal(1) : slopeOf(node));
  }
  return of(mod.expression);

  function slopeOf(node: ExpressionNode): ExpressionNode {
    // Integers and conditions are constant between jumps.
    if (node.type !== "f32") return zero;
    switch (node.kind) {
      case "literal":
      case "variable":
      case "load":
        return zero;
      case "unary":
        return unarySlope(node, of(node.operand), make) ??
          refuse(mod.name, node.operation);
      case "binary":
        return binarySlope(node, of(node.left), of(node.right), make) ??
          refuse(mod.name, node.operation);
      case "select":
        return make.select(
          node.condition,
          of(node.whenTrue),
          of(node.whenFalse),
        );
    }
  }
}

/** The slope of an operation on one operand whose slope is `slope`. */
function unarySlope(
  node: UnaryNode,
  slope: ExpressionNode,
  make: Simplifier,
): ExpressionNode | undefined {
  const { operation, operand } = node;
  const zero = make.literal(0);
  switch (operation) {
    case "neg":
      return make.neg(slope);
    case "abs": {
      const positive = make.compare("gt", operand, zero);
      const negative = make.compare("lt", operand, zero);
      return make.select(
        positive,
        slope,
        make.select(negative, make.neg(slope), zero),
      );
    }
    case "exp":
      return make.mul(slope, node);
    case "log":
      return make.div(slope, operand);
    case "sqrt": {
      const least = make.literal(LEAST);
      const root = make.unary("sqrt", make.binary("max", operand, least));
      return make.select(
        make.compare("ge", operand, least),
        make.div(make.mul(make.literal(0.5), slope), root),
        zero,
      );
    }
    case "tanh":
      return make.mul(slope, make.sub(make.literal(1), make.mul(node, node)));
    case "floor":
    case "toFloat":
      return zero;
    case "not":
      return undefined;
  }
}

/** The slope of an operation on two operands with slopes `a` and `b`. */
function binarySlope(
  node: BinaryNode,
  a: ExpressionNode,
  b: ExpressionNode,
  make: Simplifier,
): ExpressionNode | undefined {
  const { operation, left, right } = node;
  switch (operation) {
    case "add":
      return make.add(a, b);
    case "sub":
      return make.sub(a, b);
    case "mul":
      return make.add(make.mul(a, right), make.mul(left, b));
    case "div":
      return make.sub(
        make.div(a, right),
        make.div(make.mul(node, b), right),
      );
    case "min":
      return make.select(make.compare("le", left, right), a, b);
    case "max":
      return make.select(make.compare("ge", left, right), a, b);
    case "rem":
    case "xor":
    case "shr":
    case "and":
    case "or":
      return undefined;
  }
}

function refuse(name: string, operation: string): never {
  throw new TypeError(
    `score mod ${name} must be made of operations that have a derivative where gradients are asked for: current value has ${operation}() of floats`,
  );
}

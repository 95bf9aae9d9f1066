/**
 * Score and mask mods: a name and the expression that a function traced.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import { collectConditions } from "./conditions.ts";
import { Bool, Float, Int } from "./expression.ts";
import {
  dependsOn,
  evaluationOrder,
  type ExpressionNode,
  type VariableName,
} from "./nodes.ts";

/**
 * What a mask may depend on.
 *
 * @category Masks and scores
 */
export interface MaskVariables {
  /** The index of the sequence in the batch. */
  readonly batch: Int;
  /** The index of the query head. */
  readonly head: Int;
  /**
   * The query's position in the keys' coordinate: `i + queryOffset` for query
   * i. With the default offset (keys - queries, which aligns bottom-right) it
   * is negative for a query that comes before every key.
   */
  readonly query: Int;
  /** The key's position, which is its index in its sequence. */
  readonly key: Int;
  /**
   * The query's index in its sequence: query i's is i, whatever its position.
   * For data with a row per query.
   */
  readonly row: Int;
}

/**
 * What a score mod may depend on.
 *
 * @category Masks and scores
 */
export interface ScoreVariables extends MaskVariables {
  /** The scaled score, after the mods that come before. */
  readonly score: Float;
}

/**
 * A modification of scores.
 *
 * @category Masks and scores
 */
export interface ScoreMod {
  /** Tells the kinds of mod apart. */
  readonly kind: "score";
  /** A name for people; a comment in the emitted source. */
  readonly name: string;
  /** The modified score, of type `f32`. */
  readonly expression: ExpressionNode;
}

/**
 * A predicate: which keys a query may see.
 *
 * @category Masks and scores
 */
export interface MaskMod {
  /** Tells the kinds of mod apart. */
  readonly kind: "mask";
  /** A name for people; a comment in the emitted source. */
  readonly name: string;
  /** Whether the key is seen, of type `bool`; free of the score. */
  readonly expression: ExpressionNode;
}

function variable(name: VariableName): ExpressionNode {
  return { kind: "variable", type: name === "score" ? "f32" : "i32", name };
}

const VARIABLES: ScoreVariables = {
  score: new Float(variable("score")),
  batch: new Int(variable("batch")),
  head: new Int(variable("head")),
  query: new Int(variable("query")),
  key: new Int(variable("key")),
  row: new Int(variable("row")),
};

/**
 * Traces a score mod: `modify` is called once, with expressions.
 *
 * @category Masks and scores
 *
 * @example A bias that decays with distance
 * ```ts
 * import { scoreMod } from "@quire/attention/mods";
 *
 * const decay = scoreMod(
 *   "decay",
 *   ({ score, query, key }) => score.sub(query.sub(key).abs().toFloat().mul(0.1)),
 * );
 * ```
 *
 * @throws {TypeError} If `modify` does not return a `Float`, or makes a
 * condition that the result does not depend on, as JavaScript's own `? :`,
 * `&&`, `if` and `!` do.
 */
export function scoreMod(
  name: string,
  modify: (variables: ScoreVariables) => Float,
): ScoreMod {
  const { result, conditions } = collectConditions(() => modify(VARIABLES));
  checkType(
    result instanceof Float,
    `score mod ${name}`,
    "must return a Float",
    result,
  );
  checkConditions(`score mod ${name}`, result.node, conditions);
  return { kind: "score", name, expression: result.node };
}

/**
 * Traces a mask mod: `predicate` is called once, with expressions.
 *
 * @category Masks and scores
 *
 * @example A causal mask
 * ```ts
 * import { maskMod } from "@quire/attention/mods";
 *
 * const causal = maskMod("causal", ({ query, key }) => key.le(query));
 * ```
 *
 * @throws {TypeError} If `predicate` does not return a `Bool`, or one that
 * depends on a score, or makes a condition that the result does not depend on,
 * as JavaScript's own `? :`, `&&`, `if` and `!` do.
 */
export function maskMod(
  name: string,
  predicate: (variables: MaskVariables) => Bool,
): MaskMod {
  const { batch, head, query, key, row } = VARIABLES;
  const { result, conditions } = collectConditions(() =>
    predicate({ batch, head, query, key, row })
  );
  checkType(
    result instanceof Bool,
    `mask mod ${name}`,
    "must return a Bool",
    result,
  );
  checkType(
    !dependsOn(result.node, "score"),
    `mask mod ${name}`,
    "must not depend on a score",
    result,
  );
  checkConditions(`mask mod ${name}`, result.node, conditions);
  return { kind: "mask", name, expression: result.node };
}

/**
 * Throws unless the result depends on every condition that was made for it.
 * JavaScript takes any object for true, so `condition ? a : b` is `a`,
 * `condition && a` is `a`, and the condition is in neither.
 */
function checkConditions(
  name: string,
  result: ExpressionNode,
  conditions: readonly ExpressionNode[],
): void {
  if (conditions.length === 0) return;
  const used = new Set(evaluationOrder(result));
  const unused = conditions.find((condition) => !used.has(condition));
  checkType(
    unused === undefined,
    name,
    "must use each condition that it makes: write condition.select(a, b) for condition ? a : b and if, a.and(b) for a && b, a.or(b) for a || b, a.not() for !a",
    unused && describeCondition(unused),
  );
}

/** A condition in the words of who wrote it. */
function describeCondition(node: ExpressionNode): string {
  const method = "operation" in node ? node.operation : node.kind;
  return `.${method === "load" ? "at" : method}() that is not used`;
}

/** Whether any of the mods depends on a variable. */
export function modsDependOn(
  mods: readonly (MaskMod | ScoreMod)[],
  name: VariableName,
): boolean {
  return mods.some((mod) => dependsOn(mod.expression, name));
}

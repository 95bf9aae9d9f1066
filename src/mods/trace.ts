/**
 * Score and mask mods: a name and the expression that a function traced.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import { Bool, Float, Int } from "./expression.ts";
import { dependsOn, type ExpressionNode, type VariableName } from "./nodes.ts";

/** What a mask may depend on. */
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
}

/** What a score mod may depend on. */
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
 * @throws {TypeError} If `modify` does not return a `Float`.
 */
export function scoreMod(
  name: string,
  modify: (variables: ScoreVariables) => Float,
): ScoreMod {
  const result = modify(VARIABLES);
  checkType(
    result instanceof Float,
    `score mod ${name}`,
    "must return a Float",
    result,
  );
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
 * depends on a score.
 */
export function maskMod(
  name: string,
  predicate: (variables: MaskVariables) => Bool,
): MaskMod {
  const { batch, head, query, key } = VARIABLES;
  const result = predicate({ batch, head, query, key });
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
  return { kind: "mask", name, expression: result.node };
}

/** Whether any of the mods depends on a variable. */
export function modsDependOn(
  mods: readonly (MaskMod | ScoreMod)[],
  name: VariableName,
): boolean {
  return mods.some((mod) => dependsOn(mod.expression, name));
}

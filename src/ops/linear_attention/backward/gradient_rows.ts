/**
 * Where the gradients of rows lie: side by side, in the problem's layout.
 *
 * @module
 */

import type { GivenStrides } from "../../attention/problem.ts";
import { type LinearProblem, stridesOf } from "../options/problem.ts";

/** The tensors of which the gradients have rows. */
export type GradientRows = "query" | "key" | "value";

/** The shape of a gradient, as its tensor has it. */
export function gradientShape(
  problem: LinearProblem,
  name: GradientRows,
): number[] {
  const shape = tokensFirst(problem, name);
  if (problem.layout === "bshd" || shape.length === 3) return shape;
  const [batch, tokens, heads, dim] = shape;
  return [batch, heads, tokens, dim];
}

/** Where its rows are. */
export function gradientStrides(
  problem: LinearProblem,
  name: GradientRows,
): GivenStrides {
  const { dtype, layout } = problem;
  return stridesOf({ dtype, shape: tokensFirst(problem, name) }, layout);
}

/** Sequences, and the tokens of each, or of all of them in one. */
export function tokenShape(
  { outputShape, layout }: LinearProblem,
): [batch: number, tokens: number] {
  if (outputShape.length === 3) return [1, outputShape[0]];
  return [outputShape[0], outputShape[layout === "bshd" ? 1 : 2]];
}

function tokensFirst(problem: LinearProblem, name: GradientRows): number[] {
  const { queryHeads, keyHeads, stateHeads, headDim, valueHeadDim } = problem;
  const own = {
    query: [queryHeads, headDim],
    key: [keyHeads, headDim],
    value: [stateHeads, valueHeadDim],
  }[name];
  const [batch, tokens] = tokenShape(problem);
  return problem.outputShape.length === 3
    ? [tokens, ...own]
    : [batch, tokens, ...own];
}

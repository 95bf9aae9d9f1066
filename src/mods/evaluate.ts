/**
 * The float64 reading: mods as plain functions, which the oracle takes.
 *
 * Floats are computed in float64 (literals and captured elements are float32
 * values to begin with); integers exactly as WGSL's i32: they wrap, division
 * truncates, `x / 0` is `x` and `x rem 0` is 0.
 *
 * @module
 */

import type {
  BinaryOperation,
  CapturedBuffer,
  CapturedData,
  Comparison,
  ExpressionNode,
  UnaryOperation,
} from "./nodes.ts";
import { hostDataOf } from "./captures/device_data.ts";
import { compile, type Reading } from "./reading.ts";
import type { MaskMod, ScoreMod } from "./trace.ts";

/**
 * The modified score of one (query, key) pair. `query` is the query's position
 * (its index plus the query offset), `key` the key's index.
 *
 * @category Readings
 */
export type ScoreFunction = (
  score: number,
  batch: number,
  head: number,
  query: number,
  key: number,
) => number;

/**
 * Whether a query, by its position, sees a key, by its index.
 *
 * @category Readings
 */
export type MaskFunction = (
  batch: number,
  head: number,
  query: number,
  key: number,
) => boolean;

type Unary = (operand: number) => number;
type Binary = (left: number, right: number) => number;

const INT_UNARY: Partial<Record<UnaryOperation, Unary>> = {
  neg: (a) => -a | 0,
  abs: (a) => Math.abs(a) | 0,
};

const UNARY: Record<UnaryOperation, Unary> = {
  neg: (a) => -a,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  tanh: Math.tanh,
  floor: Math.floor,
  not: (a) => 1 - a,
  toFloat: (a) => a,
};

const INT_BINARY: Partial<Record<BinaryOperation, Binary>> = {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: Math.imul,
  div: (a, b) => b === 0 ? a : (a / b) | 0,
  rem: (a, b) => b === 0 ? 0 : (a % b) | 0,
  xor: (a, b) => a ^ b,
  shr: (a, b) => (a >>> b) | 0,
};

const BINARY: Record<BinaryOperation, Binary> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  rem: (a, b) => a % b,
  // Of integers alone: see above.
  xor: () => NaN,
  shr: () => NaN,
  min: Math.min,
  max: Math.max,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
};

const COMPARE: Record<Comparison, Binary> = {
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
};

/** Booleans are 0 and 1. */
const FLOAT64: Reading<number> = {
  literal: (node) => node.value,
  unary: ({ type, operation }) =>
    (type === "i32" ? INT_UNARY[operation] : undefined) ?? UNARY[operation],
  binary: ({ type, operation }) =>
    (type === "i32" ? INT_BINARY[operation] : undefined) ?? BINARY[operation],
  compare: ({ operation }) => COMPARE[operation],
  select: () => (condition, whenTrue, whenFalse) =>
    condition === 1 ? whenTrue : whenFalse,
  load: ({ buffer }) => {
    const data = hostDataOf(buffer);
    return (indices) => element(buffer, data, indices);
  },
};

function element(
  { shape, type }: CapturedBuffer,
  data: CapturedData,
  indices: readonly number[],
): number {
  let flat = 0;
  for (const [axis, size] of shape.entries()) {
    flat = flat * size + Math.min(Math.max(indices[axis], 0), size - 1);
  }
  return type === "bool" ? Number(data[flat] !== 0) : data[flat];
}

/** A tree as a function of its variables; booleans are 0 and 1. */
export function evaluator(expression: ExpressionNode): ScoreFunction {
  const run = compile(expression, FLOAT64);
  return (score, batch, head, query, key) =>
    run({ score, batch, head, query, key });
}

/**
 * All score mods, in order, as one function; the identity when none.
 *
 * @example A score as a function
 * ```ts
 * import { scoreFunction, scoreMod } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const double = scoreMod("double", ({ score }) => score.mul(2));
 * assertEquals(scoreFunction([double])(1.5, 0, 0, 0, 0), 3);
 * ```
 *
 * @category Readings
 */
export function scoreFunction(mods: readonly ScoreMod[]): ScoreFunction {
  const functions = mods.map((mod) => evaluator(mod.expression));
  return (score, batch, head, query, key) =>
    functions.reduce((s, modify) => modify(s, batch, head, query, key), score);
}

/**
 * The conjunction of all mask mods as one function; true when none.
 *
 * @example A mask as a function
 * ```ts
 * import { causal, maskFunction } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const sees = maskFunction([causal()]);
 * assertEquals([0, 1, 2].map((key) => sees(0, 0, 1, key)), [true, true, false]);
 * ```
 *
 * @category Readings
 */
export function maskFunction(mods: readonly MaskMod[]): MaskFunction {
  const functions = mods.map((mod) => evaluator(mod.expression));
  return (batch, head, query, key) =>
    functions.every((sees) => sees(0, batch, head, query, key) === 1);
}

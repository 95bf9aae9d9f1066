/**
 * The interval reading: what a mod can give over whole ranges of positions.
 * It is sound (what it excludes never happens) and as tight as the operations
 * allow, so it tells tiles that a mask empties or fills without forming it.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import * as arithmetic from "./interval_arithmetic.ts";
import { type Interval, UNKNOWN } from "./interval_arithmetic.ts";
import { isOnDevice } from "../captures/device_data.ts";
import type {
  BinaryOperation,
  Comparison,
  DeviceData,
  ExpressionNode,
  LoadNode,
  UnaryOperation,
} from "../nodes.ts";
import { elementRange } from "./range_table.ts";
import { haveNothingInCommon, loadedFrom } from "./value_sets.ts";
import { compile, type Environment, type Reading } from "../reading.ts";
import type { MaskMod } from "../trace.ts";

/**
 * Inclusive integer ranges `[low, high]` of positions.
 *
 * @category Tiles
 */
export interface PositionRanges {
  /** Batch indices. */
  readonly batch: Interval;
  /** Query heads. */
  readonly head: Interval;
  /** Positions of queries, in the keys' coordinate. */
  readonly query: Interval;
  /** Positions of keys. */
  readonly key: Interval;
}

/**
 * What a mask does to a tile: sees no pair, every pair, or it varies.
 *
 * @category Tiles
 */
export type MaskClass = "none" | "all" | "some";

/** A mask's class over ranges of positions. */
export type MaskClassifier = (ranges: PositionRanges) => MaskClass;

type Unary = (operand: Interval) => Interval;
type Binary = (left: Interval, right: Interval) => Interval;

const INT_UNARY: Partial<Record<UnaryOperation, Unary>> = {
  neg: arithmetic.negateInt,
  abs: arithmetic.absoluteInt,
};

const UNARY: Record<UnaryOperation, Unary> = {
  neg: arithmetic.negate,
  abs: arithmetic.absolute,
  exp: arithmetic.exponential,
  log: arithmetic.logarithm,
  sqrt: arithmetic.squareRoot,
  tanh: arithmetic.hyperbolicTangent,
  floor: arithmetic.floor,
  not: arithmetic.not,
  toFloat: arithmetic.toFloat,
};

const INT_BINARY: Partial<Record<BinaryOperation, Binary>> = {
  add: arithmetic.addInt,
  sub: arithmetic.subtractInt,
  mul: arithmetic.multiplyInt,
  div: arithmetic.divideInt,
  rem: arithmetic.remainderInt,
  xor: arithmetic.exclusiveOrInt,
  shr: arithmetic.shiftRightInt,
};

const BINARY: Record<BinaryOperation, Binary> = {
  add: arithmetic.add,
  sub: arithmetic.subtract,
  mul: arithmetic.multiply,
  div: arithmetic.divide,
  rem: () => UNKNOWN,
  xor: () => UNKNOWN,
  shr: () => UNKNOWN,
  min: arithmetic.minimum,
  max: arithmetic.maximum,
  and: arithmetic.and,
  or: arithmetic.or,
};

const COMPARE: Record<Comparison, Binary> = {
  lt: arithmetic.less,
  le: arithmetic.lessOrEqual,
  gt: (a, b) => arithmetic.less(b, a),
  ge: (a, b) => arithmetic.lessOrEqual(b, a),
  eq: equal,
  ne: (a, b) => arithmetic.not(equal(a, b)),
};

/** Equality; of look-ups also by the values that there are. */
function equal(a: Interval, b: Interval): Interval {
  const found = arithmetic.equal(a, b);
  return found === arithmetic.UNDECIDED && haveNothingInCommon(a, b)
    ? arithmetic.FALSE
    : found;
}

const INTERVALS: Reading<Interval> = {
  literal: ({ value }) => [value, value],
  unary: ({ type, operation }) =>
    (type === "i32" ? INT_UNARY[operation] : undefined) ?? UNARY[operation],
  binary: ({ type, operation }) =>
    (type === "i32" ? INT_BINARY[operation] : undefined) ?? BINARY[operation],
  compare: ({ operation }) => COMPARE[operation],
  select: () => (condition, whenTrue, whenFalse) => {
    if (condition[0] === 1) return whenTrue;
    return condition[1] === 0
      ? whenFalse
      : arithmetic.union(whenTrue, whenFalse);
  },
  load: loadRange,
};

function loadRange(node: LoadNode): (indices: readonly Interval[]) => Interval {
  const { shape, data, type } = node.buffer;
  if (isOnDevice(data)) {
    const range = deviceRange(data);
    return () => range;
  }
  return (indices) => {
    const ranges = indices.map(([low, high], axis): Interval => [
      Math.min(Math.max(low, 0), shape[axis] - 1),
      Math.min(Math.max(high, 0), shape[axis] - 1),
    ]);
    const found = elementRange(node.buffer, ranges);
    return type === "i32" ? loadedFrom(found, node.buffer, ranges) : found;
  };
}

/** What elements may be that only a device sees. */
function deviceRange({ tensor, as, range }: DeviceData): Interval {
  if (range !== undefined) return range;
  if (as === "float") return UNKNOWN;
  if (as === "int") {
    return tensor.dtype === "u8" ? [0, 255] : arithmetic.ANY_INT;
  }
  return arithmetic.UNDECIDED;
}

type IntervalEvaluator = (environment: Environment<Interval>) => Interval;

const EVALUATORS = new WeakMap<ExpressionNode, IntervalEvaluator>();

/**
 * A tree as a function from ranges of its variables to a range that holds its
 * float64 value and every value that a conforming WGSL implementation may
 * compute. `[NaN, NaN]` says that nothing is known. Each tree is compiled once.
 */
export function intervalEvaluator(
  expression: ExpressionNode,
): (environment: Environment<Interval>) => Interval {
  let evaluate = EVALUATORS.get(expression);
  if (evaluate === undefined) {
    evaluate = compile(expression, INTERVALS);
    EVALUATORS.set(expression, evaluate);
  }
  return evaluate;
}

/** The conjunction of masks as a classifier of tiles, for many tiles. */
export function maskClassifier(mods: readonly MaskMod[]): MaskClassifier {
  const evaluators = mods.map((mod) => intervalEvaluator(mod.expression));
  return (ranges) => {
    const environment = { score: UNKNOWN, ...ranges };
    let all = true;
    for (const evaluate of evaluators) {
      const [least, greatest] = evaluate(environment);
      if (greatest === 0) return "none";
      all &&= least === 1;
    }
    return all ? "all" : "some";
  };
}

/**
 * What the conjunction of `mods` does over ranges of positions. `"none"` and
 * `"all"` are proven; `"some"` says that neither could be.
 *
 * @throws {TypeError} If a bound is not a number.
 * @throws {RangeError} If a bound is not an i32, or a range is empty.
 *
 * @example A tile below the diagonal
 * ```ts
 * import { causal, classifyMask } from "@quire/attention/mods";
 * import { assertEquals } from "@std/assert";
 *
 * const tile = (query: [number, number], key: [number, number]) =>
 *   classifyMask([causal()], { batch: [0, 0], head: [0, 0], query, key });
 * assertEquals(tile([8, 15], [0, 7]), "all");
 * assertEquals(tile([0, 7], [8, 15]), "none");
 * assertEquals(tile([0, 7], [0, 7]), "some");
 * ```
 *
 * @category Tiles
 */
export function classifyMask(
  mods: readonly MaskMod[],
  ranges: PositionRanges,
): MaskClass {
  for (const name of ["batch", "head", "query", "key"] as const) {
    const [low, high] = ranges[name];
    checkInteger(`${name} low`, low, -(2 ** 31), 2 ** 31 - 1);
    checkInteger(`${name} high`, high, -(2 ** 31), 2 ** 31 - 1);
    checkRange(low <= high, name, "must not be an empty range", [low, high]);
  }
  return maskClassifier(mods)(ranges);
}

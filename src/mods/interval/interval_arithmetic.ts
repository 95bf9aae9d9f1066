/**
 * Interval arithmetic for the interval reading.
 *
 * A float result is widened by what WGSL allows the operation to be off (its
 * section on floating point accuracy), so an interval holds both the float64
 * value and any conforming float32 value. An interval of NaN says that nothing
 * is known: it spreads through arithmetic, and every comparison with it is
 * undecided.
 *
 * @module
 */

/**
 * The least and the greatest possible value; booleans are 0 and 1.
 *
 * @category Tiles
 */
export type Interval = readonly [number, number];

/** Nothing is known. */
export const UNKNOWN: Interval = [NaN, NaN];

/** A boolean that may be either. */
export const UNDECIDED: Interval = [0, 1];

/** A boolean that is false. */
export const FALSE: Interval = [0, 0];

/** A boolean that is true. */
export const TRUE: Interval = [1, 1];

const ULP = 2 ** -23;
const FLOAT_MAX = 3.4028234663852886e38;
/** Below this, results may be flushed to zero. */
const FLOAT_MIN = 2 ** -126;
const INT_MIN = -(2 ** 31);
const INT_MAX = 2 ** 31 - 1;
/** Any i32. */
export const ANY_INT: Interval = [INT_MIN, INT_MAX];

/** `[low, high]` widened by `relative` and `absolute` errors. */
function rounded(
  low: number,
  high: number,
  relative: number = ULP,
  absolute: number = FLOAT_MIN,
): Interval {
  const widened: Interval = [
    low - Math.abs(low) * relative - absolute,
    high + Math.abs(high) * relative + absolute,
  ];
  // Overflow has no meaning in WGSL, so then nothing is known.
  return widened[0] >= -FLOAT_MAX && widened[1] <= FLOAT_MAX
    ? widened
    : UNKNOWN;
}

/**
 * A result that wraps when it leaves the range of i32: one value to one value,
 * as hashes of positions need it.
 */
function wrapped(low: number, high: number): Interval {
  if (low === high && Number.isSafeInteger(low)) return [low | 0, low | 0];
  // Adding 0 turns -0 into 0.
  return low >= INT_MIN && high <= INT_MAX ? [low + 0, high + 0] : ANY_INT;
}

/** Whether it is one value. */
function isPoint(a: Interval): boolean {
  return a[0] === a[1];
}

function hull(...values: readonly number[]): Interval {
  return [Math.min(...values), Math.max(...values)];
}

function corners(
  f: (a: number, b: number) => number,
  a: Interval,
  b: Interval,
): Interval {
  return hull(f(a[0], b[0]), f(a[0], b[1]), f(a[1], b[0]), f(a[1], b[1]));
}

/** The smallest interval around both. */
export function union(a: Interval, b: Interval): Interval {
  return [Math.min(a[0], b[0]), Math.max(a[1], b[1])];
}

/** The negation of a float. */
export function negate(a: Interval): Interval {
  return [-a[1], -a[0]];
}

/** The absolute value of a float. */
export function absolute(a: Interval): Interval {
  if (a[0] < 0 && a[1] > 0) return [0, Math.max(-a[0], a[1])];
  return a[0] >= 0 ? a : negate(a);
}

/** The negation of an i32; that of the least one is itself. */
export function negateInt(a: Interval): Interval {
  return wrapped(-a[1], -a[0]);
}

/** The absolute value of an i32; that of the least one is itself. */
export function absoluteInt(a: Interval): Interval {
  return wrapped(...absolute(a));
}

/** The sum of floats. */
export function add(a: Interval, b: Interval): Interval {
  return rounded(a[0] + b[0], a[1] + b[1]);
}

/** The difference of floats. */
export function subtract(a: Interval, b: Interval): Interval {
  return rounded(a[0] - b[1], a[1] - b[0]);
}

/** The product of floats. */
export function multiply(a: Interval, b: Interval): Interval {
  return rounded(...corners((x, y) => x * y, a, b));
}

/** The quotient of floats: 2.5 ULP for divisors in 2^-126..2^126. */
export function divide(a: Interval, b: Interval): Interval {
  const [low, high] = absolute(b);
  if (!(b[0] > 0 || b[1] < 0) || low < FLOAT_MIN || high > 2 ** 126) {
    return UNKNOWN;
  }
  return rounded(...corners((x, y) => x / y, a, b), 3 * ULP);
}

/** The exponential: 3 + 2 |x| ULP. */
export function exponential(a: Interval): Interval {
  const error = (4 + 2 * absolute(a)[1]) * ULP;
  return rounded(Math.exp(a[0]), Math.exp(a[1]), error);
}

/** The natural logarithm: 3 ULP, and 2^-21 absolute near 1. */
export function logarithm(a: Interval): Interval {
  if (!(a[0] >= FLOAT_MIN)) return UNKNOWN;
  return rounded(Math.log(a[0]), Math.log(a[1]), 4 * ULP, 2 ** -20);
}

/** The square root, by way of an inverse square root of 2 ULP. */
export function squareRoot(a: Interval): Interval {
  if (!(a[0] >= 0)) return UNKNOWN;
  // The root of what is flushed to zero.
  const flushed = a[0] < FLOAT_MIN ? 2 ** -63 : 0;
  return rounded(Math.sqrt(a[0]), Math.sqrt(a[1]), 6 * ULP, flushed);
}

/** The hyperbolic tangent as emitted by `./capture_table.ts`. */
export function hyperbolicTangent(a: Interval): Interval {
  return rounded(Math.tanh(a[0]), Math.tanh(a[1]), 32 * ULP);
}

/** The floor of a float. */
export function floor(a: Interval): Interval {
  return [Math.floor(a[0]), Math.floor(a[1])];
}

/** An i32 as a float, which is exact up to 2^24. */
export function toFloat(a: Interval): Interval {
  return absolute(a)[1] <= 2 ** 24 ? a : rounded(a[0], a[1]);
}

/** The sum of i32. */
export function addInt(a: Interval, b: Interval): Interval {
  return wrapped(a[0] + b[0], a[1] + b[1]);
}

/** The difference of i32. */
export function subtractInt(a: Interval, b: Interval): Interval {
  return wrapped(a[0] - b[1], a[1] - b[0]);
}

/** The product of i32. */
export function multiplyInt(a: Interval, b: Interval): Interval {
  if (isPoint(a) && isPoint(b)) {
    const product = Math.imul(a[0], b[0]);
    return [product, product];
  }
  return wrapped(...corners((x, y) => x * y, a, b));
}

/** The truncated quotient of i32; `a` itself where the divisor is 0. */
export function divideInt(a: Interval, b: Interval): Interval {
  const quotient = (x: number, y: number) => Math.trunc(x / y);
  const parts: Interval[] = [];
  if (b[0] < 0) parts.push(corners(quotient, a, [b[0], Math.min(b[1], -1)]));
  if (b[1] > 0) parts.push(corners(quotient, a, [Math.max(b[0], 1), b[1]]));
  if (b[0] <= 0 && b[1] >= 0) parts.push(a);
  return wrapped(...parts.reduce(union));
}

/** The remainder of i32 with the sign of `a`; 0 where the divisor is 0. */
export function remainderInt(a: Interval, b: Interval): Interval {
  const divisor = b[0];
  if (divisor === b[1]) {
    if (divisor === 0) return [0, 0];
    // Within one quotient the remainder only shifts.
    if (Math.trunc(a[0] / divisor) === Math.trunc(a[1] / divisor)) {
      return wrapped(a[0] % divisor, a[1] % divisor);
    }
  }
  const bound = Math.max(0, absolute(b)[1] - 1);
  return [
    a[0] >= 0 ? 0 : Math.max(-bound, a[0]),
    a[1] <= 0 ? 0 : Math.min(bound, a[1]),
  ];
}

/** The bits that differ; none above the highest of two that are not negative. */
export function exclusiveOrInt(a: Interval, b: Interval): Interval {
  if (isPoint(a) && isPoint(b)) {
    const bits = a[0] ^ b[0];
    return [bits, bits];
  }
  if (a[0] < 0 || b[0] < 0) return ANY_INT;
  return [0, 2 ** (32 - Math.clz32(a[1] | b[1])) - 1];
}

/** The bits shifted down, with zeros coming in: monotone within one sign. */
export function shiftRightInt(a: Interval, b: Interval): Interval {
  if (!isPoint(b)) return ANY_INT;
  const bits = b[0] & 31;
  if (bits === 0) return a;
  return a[0] >= 0 || a[1] < 0
    ? [a[0] >>> bits, a[1] >>> bits]
    : [0, 0xffffffff >>> bits];
}

/** The smaller of two numbers. */
export function minimum(a: Interval, b: Interval): Interval {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
}

/** The larger of two numbers. */
export function maximum(a: Interval, b: Interval): Interval {
  return [Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

/** The conjunction of booleans. */
export const and: typeof minimum = minimum;

/** The disjunction of booleans. */
export const or: typeof maximum = maximum;

/** The negation of a boolean. */
export function not(a: Interval): Interval {
  return [1 - a[1], 1 - a[0]];
}

/** Whether `a < b`. */
export function less(a: Interval, b: Interval): Interval {
  if (a[1] < b[0]) return TRUE;
  return a[0] >= b[1] ? FALSE : UNDECIDED;
}

/** Whether `a <= b`. */
export function lessOrEqual(a: Interval, b: Interval): Interval {
  if (a[1] <= b[0]) return TRUE;
  return a[0] > b[1] ? FALSE : UNDECIDED;
}

/** Whether `a === b`. */
export function equal(a: Interval, b: Interval): Interval {
  if (a[0] === a[1] && b[0] === b[1] && a[0] === b[0]) return TRUE;
  return a[1] < b[0] || a[0] > b[1] ? FALSE : UNDECIDED;
}

/**
 * How fast something grows.
 *
 * @module
 */

import { mean } from "./experiment.ts";

/**
 * The exponent `a` of the power law `y = c * x**a` closest to the points: the
 * least-squares slope of log y on log x.
 */
export function fittedExponent(
  points: readonly (readonly [x: number, y: number])[],
): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / logs.length;
  let covariance = 0;
  let variance = 0;
  for (const [x, y] of logs) {
    covariance += (x - meanX) * (y - meanY);
    variance += (x - meanX) ** 2;
  }
  return covariance / variance;
}

/** A straight line through points. */
export interface Line {
  /** Where it begins. */
  readonly atZero: number;
  /** How steep it is. */
  readonly slope: number;
  /** How much of the points' variance it explains. */
  readonly r2: number;
}

/** The line nearest to points, by least squares. */
export function fittedLine(
  points: readonly (readonly [x: number, y: number])[],
): Line {
  const [meanX, meanY] = [0, 1].map((i) => mean(points.map((p) => p[i])));
  const sumOf = (of: (x: number, y: number) => number) =>
    points.reduce((sum, [x, y]) => sum + of(x - meanX, y - meanY), 0);
  const slope = sumOf((x, y) => x * y) / sumOf((x) => x * x);
  const atZero = meanY - slope * meanX;
  const left = points.reduce(
    (sum, [x, y]) => sum + (y - atZero - slope * x) ** 2,
    0,
  );
  return { atZero, slope, r2: 1 - left / sumOf((_, y) => y * y) };
}

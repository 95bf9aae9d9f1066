/**
 * How fast something grows.
 *
 * @module
 */

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

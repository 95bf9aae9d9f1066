/**
 * Scores as integers of the same order, so that integer operations find the
 * highest.
 *
 * @module
 */

/** `order_of`: 0 for NaN, which is below all. */
export const ORDER_OF = `
// A score as a number of the same order; 0 for NaN, which is never taken.
fn order_of(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0u;
  }
  // Both zeros are one.
  return select(magnitude | 0x80000000u, ~bits, bits > 0x80000000u);
}
`.trim();

/** `score_of`: the score of an order that is not 0. */
export const SCORE_OF = `
// The score that has an order, which is not 0.
fn score_of(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}
`.trim();

/**
 * The online softmax (Milakov and Gimelshein 2018; FlashAttention, Alg. 1): a
 * row's state is its running maximum m, its running sum l and an unnormalised
 * accumulator A. A step with new scores s rescales the old state:
 *
 * ```text
 * m' = max(m, max s)   alpha = exp(m - m')   p = exp(s - m')
 * l' = alpha l + sum p     A' = alpha A + p V
 * ```
 *
 * WGSL may assume that there is no Inf, so a masked score is the lowest finite
 * number and its weight is zero by comparison, not by arithmetic. A row that
 * has a key has l >= 1; a row with l = 0 has none.
 *
 * @module
 */

import { SENTINEL_WGSL } from "../../src/core/sentinel.ts";

/** The sentinel and the functions of the running softmax. */
export const onlineSoftmaxFragment: string = `const SENTINEL = ${SENTINEL_WGSL};

fn weight(score: f32, maximum: f32) -> f32 {
  return select(exp(score - maximum), 0.0, score == SENTINEL);
}

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

fn finish(accumulator: vec4f, sum: f32) -> vec4f {
  return accumulator / select(sum, 1.0, sum == 0.0);
}

fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
  return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
}`;

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
 * All of its arithmetic is here; kernels differ in how lanes find `max s`,
 * `sum p` and `p V`. WGSL may assume that there is no Inf, so a masked score is
 * the lowest finite number and its weight is zero by comparison, not by
 * arithmetic. A row that has a key has l >= 1; a row with l = 0 has none.
 *
 * @module
 */

import { SENTINEL_WGSL } from "../../src/core/sentinel.ts";
import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/** The recurrence, and what a row's state becomes at the end. */
export const onlineSoftmax: Fragment = {
  code: wgsl(
    `
    const SENTINEL = $sentinel;

    // alpha: by how much a state shrinks when its maximum rises.
    fn rescale(old_maximum: f32, maximum: f32) -> f32 {
      return exp(old_maximum - maximum);
    }

    // p: what a key counts, beside the maximum.
    fn weight(score: f32, maximum: f32) -> f32 {
      return select(exp(score - maximum), 0.0, score == SENTINEL);
    }

    // l' and A': the rescaled state with a step's sums added.
    fn carry_sum(sum: f32, alpha: f32, step: f32) -> f32 {
      return fma(sum, alpha, step);
    }

    fn carry_values(accumulator: vec4f, alpha: f32, step: vec4f) -> vec4f {
      return fma(accumulator, vec4f(alpha), step);
    }

    // O and L of a row: its state at the end.
    fn finish(accumulator: vec4f, sum: f32) -> vec4f {
      return accumulator / select(sum, 1.0, sum == 0.0);
    }

    fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
      return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
    }
  `,
    { sentinel: SENTINEL_WGSL },
  ),
};

/** `non_finite`: which elements are NaN or Inf, by their bits. */
export const nonFinite: Fragment = {
  code: wgsl(`
    fn non_finite(value: vec4f) -> vec4<bool> {
      let exponent = vec4u(0x7f800000u);
      return (bitcast<vec4u>(value) & exponent) == exponent;
    }
  `),
};

/**
 * `lse_of`: a log-sum-exp by its bits. A row without keys has -Infinity on the
 * host and the sentinel on the device. WGSL may assume that there is no Inf, so
 * that is never a float here: its bits are compared.
 */
export const lseBits: Fragment = {
  needs: [onlineSoftmax],
  code: wgsl(`
    fn lse_of(bits: u32) -> f32 {
      return bitcast<f32>(select(bits, bitcast<u32>(SENTINEL), bits == 0xff800000u));
    }
  `),
};

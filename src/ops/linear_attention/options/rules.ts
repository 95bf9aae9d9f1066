/**
 * Update rules: how a token changes the state.
 *
 * @module
 */

import { checkType } from "../../../core/check.ts";

/**
 * How a token changes the state h, with log gates g and strengths b:
 *
 * ```text
 * linear       h_t = h_{t-1} + k_t v_t^T
 * gated        h_t = diag(exp g_t) h_{t-1} + k_t v_t^T
 * delta        h_t = h_{t-1} + b_t k_t (v_t - h_{t-1}^T k_t)^T
 * gated_delta  h' = diag(exp g_t) h_{t-1},  h_t = h' + b_t k_t (v_t - h'^T k_t)^T
 * ```
 *
 * @category Attention
 */
export type UpdateRule = "linear" | "gated" | "delta" | "gated_delta";

/** What each rule takes. */
const TAKES: Readonly<
  Record<UpdateRule, { readonly decay: boolean; readonly beta: boolean }>
> = {
  linear: { decay: false, beta: false },
  gated: { decay: true, beta: false },
  delta: { decay: false, beta: true },
  // deno-lint-ignore camelcase -- the name that ONNX has
  gated_delta: { decay: true, beta: true },
};

/**
 * The rule of what is given.
 *
 * @throws {TypeError} if another is named
 */
export function ruleOf(
  rule: unknown,
  given: { readonly decay: boolean; readonly beta: boolean },
): UpdateRule {
  const names = Object.keys(TAKES) as UpdateRule[];
  const meant = names.find((name) =>
    TAKES[name].decay === given.decay && TAKES[name].beta === given.beta
  )!;
  if (rule === undefined) return meant;
  checkType(
    names.includes(rule as UpdateRule),
    "rule",
    'must be "linear", "gated", "delta" or "gated_delta"',
    rule,
  );
  const takes = TAKES[rule as UpdateRule];
  const needs = (Object.keys(takes) as (keyof typeof takes)[])
    .map((name) => `${name} ${takes[name] ? "given" : "left out"}`);
  checkType(
    rule === meant,
    "rule",
    `must have ${needs.join(" and ")}, or be "${meant}"`,
    rule,
  );
  return rule as UpdateRule;
}

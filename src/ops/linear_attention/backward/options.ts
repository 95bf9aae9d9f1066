/**
 * The names of the options of linear attention's gradients, and what names of
 * other libraries are here.
 *
 * @module
 */

import { checkOptions, type OptionHints } from "../../../core/options.ts";

const HINTS: OptionHints = {
  deterministic: "leave it out: gradients always are",
  dout: "write outputGradient",
  gradOutput: "write outputGradient",
  gradOut: "write outputGradient",
  dO: "write outputGradient",
  output: "write outputGradient",
  dht: "write stateGradient",
  dState: "write stateGradient",
  gradState: "write stateGradient",
  state: "write stateGradient",
  finalStateGradient: "write stateGradient",
  dh0: "leave it out: it comes back where there is an initialState",
};

/**
 * Throws unless each is an option of a plan of gradients.
 *
 * @throws {TypeError} if one is not
 */
export function checkGradientPlan(owner: string, options: unknown): void {
  checkOptions(owner, options, { known: ["stateGradient"], hints: HINTS });
}

/**
 * Throws unless each is an option of a run of `linearAttentionBackward()`.
 *
 * @throws {TypeError} if one is not
 */
export function checkGradientRun(options: unknown): void {
  checkOptions("linearAttentionBackward()", options, {
    known: ["signal"],
    hints: HINTS,
  });
}

/**
 * Throws unless each is one of the gradients that a loss sends back.
 *
 * @throws {TypeError} if one is not
 */
export function checkLinearGradientNames(gradients: unknown): void {
  checkOptions("gradients", gradients, {
    known: ["outputGradient", "stateGradient"],
    hints: HINTS,
  });
}

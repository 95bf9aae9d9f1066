/**
 * The names of backward's options, and what names of other libraries are here.
 *
 * @module
 */

import { checkOptions, type OptionHints } from "../../core/options.ts";

const CHOICES = ["splits", "scoreGradients", "tiles"];

const HINTS: OptionHints = {
  deterministic: "leave it out: gradients always are",
  numSplits: "write splits",
  strides: "write gradientStrides, of planAttentionBackward()",
  retainGraph: "leave it out: saved stays until it is destroyed",
  dout: "write outputGradient",
  gradOutput: "write outputGradient",
  gradOut: "write outputGradient",
  dO: "write outputGradient",
  dlse: "write lseGradient",
  gradLse: "write lseGradient",
  output: "write outputGradient",
  lse: "write lseGradient",
};

/**
 * Throws unless each is an option of a backward plan.
 *
 * @throws {TypeError} if one is not
 */
export function checkBackwardOptions(owner: string, options: unknown): void {
  checkOptions(owner, options, {
    known: [...CHOICES, "lseGradient", "captureGradients", "gradientStrides"],
    hints: HINTS,
  });
}

/**
 * Throws unless each is an option of a run of `attentionBackward()`.
 *
 * @throws {TypeError} if one is not
 */
export function checkBackwardRun(options: unknown): void {
  checkOptions("attentionBackward()", options, {
    known: [...CHOICES, "captureGradients", "signal"],
    hints: HINTS,
  });
}

/**
 * Throws unless each is one of the gradients that a loss sends back.
 *
 * @throws {TypeError} if one is not
 */
export function checkGradientNames(gradients: unknown): void {
  checkOptions("gradients", gradients, {
    known: ["outputGradient", "lseGradient"],
    hints: HINTS,
  });
}

/**
 * JRT-RNN's loss as data: which tokens the model sees, what each position is to
 * foretell, and what that weighs.
 *
 * @module
 */

import { checkFinite, checkInteger, checkRange } from "../../core/check.ts";
import { dropoutKeep } from "../../core/dropout.ts";
import { checkOptions } from "../../core/options.ts";
import { checkTokenIds } from "../../core/tokens.ts";

/**
 * What {@linkcode prefixLoss} takes.
 *
 * @category Prompts
 */
export interface PrefixLossOptions {
  /** M_e: tokens of the prefix, at most as many as there are. */
  readonly prefixLength: number;
  /** The token that stands for a masked one. */
  readonly maskToken: number;
  /** The share of the prefix that is masked, in `[0, 1)`; default 0.15. */
  readonly maskRate?: number;
  /** What the masked tokens' loss weighs beside the next token's; 0.25. */
  readonly maskWeight?: number;
  /** Which tokens are masked; default 0. */
  readonly seed?: number | bigint;
  /** The sequence's number, so that those of a batch differ; default 0. */
  readonly sequence?: number;
}

/**
 * One sequence of a training batch, for a cross-entropy with weights:
 * `sum over i of weights[i] * -log p_i(targets[i])`, which is the `"sum"` of
 * `crossEntropy()` with these targets and weights.
 *
 * @category Prompts
 */
export interface PrefixLoss {
  /** `[tokens]`: what the model sees, with masked tokens replaced. */
  readonly inputs: Uint32Array;
  /** `[tokens]`: what each position is to foretell; 0 where it weighs nothing. */
  readonly targets: Uint32Array;
  /** `[tokens]`: 0 where nothing is asked. */
  readonly weights: Float32Array;
  /** Positions that are masked. */
  readonly masked: readonly number[];
}

const KNOWN: readonly (keyof PrefixLossOptions)[] = [
  "prefixLength",
  "maskToken",
  "maskRate",
  "maskWeight",
  "seed",
  "sequence",
];

/**
 * JRT-RNN's loss (Arora et al. 2024, section 4): the mean over positions from
 * the prefix's end on of the next token's cross-entropy, and a quarter of the
 * mean over masked positions of the prefix of the masked token's. Which tokens
 * are masked is a hash of seed, sequence and position, as in dropout: it does
 * not depend on the batch.
 *
 * The last position has no next token, and a prefix's position none that it
 * does not see; so neither is asked for it.
 *
 * @throws {TypeError} for an unknown option, or one of another type
 * @throws {RangeError} for a token that is no unsigned integer of 32 bits, a
 * prefix longer than the tokens, a rate outside `[0, 1)`, or a weight below 0
 *
 * @example What the weights are
 * ```ts
 * import { prefixLoss } from "@quire/attention/model";
 * import { assertEquals } from "@std/assert";
 *
 * const { targets, weights } = prefixLoss([5, 6, 7, 8], {
 *   prefixLength: 1,
 *   maskToken: 0,
 *   maskRate: 0,
 * });
 * assertEquals([...targets], [0, 7, 8, 0]);
 * assertEquals([...weights], [0, 0.5, 0.5, 0]);
 * ```
 *
 * @category Prompts
 */
export function prefixLoss(
  tokens: ArrayLike<number>,
  options: PrefixLossOptions,
): PrefixLoss {
  checkTokenIds("tokens", tokens);
  checkOptions("prefixLoss()", options, {
    known: KNOWN,
    hints: { rate: "write maskRate", weight: "write maskWeight" },
  });
  const { prefixLength, maskToken, maskRate = 0.15, maskWeight = 0.25 } =
    options;
  const { seed = 0, sequence = 0 } = options;
  checkInteger("prefixLength", prefixLength, 0);
  checkRange(
    prefixLength <= tokens.length,
    "prefixLength",
    `must be at most the number of tokens (${tokens.length})`,
    prefixLength,
  );
  checkInteger("maskToken", maskToken, 0, 0xffffffff);
  checkFinite("maskWeight", maskWeight);
  checkRange(maskWeight >= 0, "maskWeight", "must be >= 0", maskWeight);
  checkFinite("maskRate", maskRate);
  checkRange(
    maskRate >= 0 && maskRate < 1,
    "maskRate",
    "must be in [0, 1), the share of the prefix that is masked",
    maskRate,
  );
  checkInteger("sequence", sequence, 0, 0xffffffff);
  const keep = dropoutKeep({ rate: maskRate, seed });
  const inputs = Uint32Array.from(tokens);
  const targets = new Uint32Array(tokens.length);
  const weights = new Float32Array(tokens.length);
  const masked = Array.from({ length: prefixLength }, (_, i) => i)
    .filter((i) => keep(sequence, 0, 0, i) === 0);
  for (const i of masked) {
    inputs[i] = maskToken;
    targets[i] = tokens[i];
    weights[i] = maskWeight / masked.length;
  }
  const asked = tokens.length - 1 - prefixLength;
  for (let i = prefixLength; i + 1 < tokens.length; i++) {
    targets[i] = tokens[i + 1];
    weights[i] = 1 / asked;
  }
  return { inputs, targets, weights, masked };
}

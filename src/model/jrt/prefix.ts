/**
 * JRT-RNN's encoder input: the tokens of a prompt that see each other.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { checkTokenIds } from "../../core/tokens.ts";

/**
 * What {@linkcode prefixTokens} takes.
 *
 * @category Prompts
 */
export interface PrefixOptions {
  /** M_e: tokens of the encoder's input; 1024 in the paper's models. */
  readonly length: number;
  /** What a shorter prompt is filled up with; default: it is refused. */
  readonly padding?: number;
}

/**
 * The encoder's input, and how much of it is of the prompt.
 *
 * @category Prompts
 */
export interface PrefixTokens {
  /** `[length]`: the prompt's, and padding after them. */
  readonly tokens: Uint32Array;
  /** How many are the prompt's: the `length` of `linearAttention({ prefix })`. */
  readonly length: number;
}

/**
 * The encoder's input of JRT-RNN: the first `length` tokens of a prompt. A
 * shorter prompt is an error, since what is generated would count as prefix in
 * one form and not in another; or it is filled up with a token by name. Padding
 * stands after the prompt's tokens, and the length says where it begins, so that
 * it adds nothing to the encoder's state.
 *
 * @throws {TypeError} for an unknown option, or a prompt that is no array
 * @throws {RangeError} for a prompt shorter than `length` without `padding`, or
 * a number that is no integer >= 0, tokens among them
 *
 * @example
 * ```ts
 * import { prefixTokens } from "@quire/attention/model";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const prompt = [5, 6, 7];
 * assertEquals([...prefixTokens(prompt, { length: 2 }).tokens], [5, 6]);
 * assertThrows(() => prefixTokens(prompt, { length: 4 }), RangeError);
 * const { tokens, length } = prefixTokens(prompt, { length: 4, padding: 0 });
 * assertEquals([[...tokens], length], [[5, 6, 7, 0], 3]);
 * ```
 *
 * @category Prompts
 */
export function prefixTokens(
  prompt: ArrayLike<number>,
  options: PrefixOptions,
): PrefixTokens {
  checkTokenIds("prompt", prompt);
  checkOptions("prefixTokens()", options, {
    known: ["length", "padding"],
    hints: { padToken: "write padding", prefixLength: "write length" },
  });
  const { length, padding } = options;
  checkInteger("length", length, 0);
  if (padding !== undefined) checkInteger("padding", padding, 0, 0xffffffff);
  checkRange(
    prompt.length >= length || padding !== undefined,
    "prompt",
    `must have at least length (${length}) tokens; say padding to fill it up`,
    prompt.length,
  );
  const real = Math.min(prompt.length, length);
  const tokens = new Uint32Array(length).fill(padding ?? 0);
  for (let i = 0; i < real; i++) tokens[i] = prompt[i];
  return { tokens, length: real };
}

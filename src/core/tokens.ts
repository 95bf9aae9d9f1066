/**
 * Token ids as they are given from outside.
 *
 * @module
 */

import { checkInteger, checkType } from "./check.ts";

/** Throws unless `tokens` is an array of token ids. */
export function checkTokens(tokens: readonly number[]): void {
  checkType(Array.isArray(tokens), "tokens", "must be an array", tokens);
  checkTokenIds("tokens", tokens);
}

/** Throws unless `tokens` is anything with a length that holds token ids. */
export function checkTokenIds(name: string, tokens: ArrayLike<number>): void {
  checkType(
    typeof tokens === "object" && typeof tokens?.length === "number",
    name,
    "must be an array of tokens",
    tokens,
  );
  for (let i = 0; i < tokens.length; i++) {
    // The name is only written for a token that is refused.
    if (tokens[i] !== tokens[i] >>> 0) {
      checkInteger(`${name}[${i}]`, tokens[i], 0, 2 ** 32 - 1);
    }
  }
}

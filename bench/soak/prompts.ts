/**
 * What the users of a soak ask: a few texts that many prompts start with, and
 * much that only one has.
 *
 * @module
 */

import type { PrefixDomain } from "../../src/cache/mod.ts";
import type { Prng } from "../../src/core/prng.ts";

/** Tokens that there are. */
export const VOCABULARY = 50_000;

/** The longest prompt. */
export const MAX_PROMPT = 512;

const TEXTS = 24;

/** What keeps sequences apart; most are in the first. */
export const DOMAINS: readonly PrefixDomain[] = [
  {},
  { salt: "tenant" },
  { keys: { adapter: 7 } },
];

/** A token at random. */
export function anyToken(random: Prng): number {
  return random.below(VOCABULARY);
}

/**
 * A prompt. Every one begins with the same token, as tokenizers have it. A
 * third are a text alone, cut at a whole number of blocks, so that many store
 * the same last block; a third add a question to a text; a third are their own.
 */
export function anyPrompt(random: Prng, blockSize: number): number[] {
  const kind = random.below(3);
  const text = random.below(TEXTS);
  const length = blockSize * (1 + random.below(MAX_PROMPT / blockSize));
  const prompt = [1];
  const shared = kind === 0 ? length : kind === 1 ? random.below(length) : 1;
  while (prompt.length < shared) {
    prompt.push((text * 7919 + prompt.length * 31) % VOCABULARY);
  }
  const own = kind === 1 ? Math.min(length, shared + 64) : length;
  while (prompt.length < own) prompt.push(anyToken(random));
  return prompt;
}

/**
 * LongLoRA's two ways to group tokens, as its authors' code has them.
 *
 * @module
 */

/**
 * A sequence, and its groups.
 *
 * @category Policies
 */
export interface LongLoraGroups {
  /** Tokens of the sequence: a multiple of the group size. */
  readonly tokens: number;
  /** Tokens of a group. */
  readonly groupSize: number;
  /** Whether the head is one of those whose groups are shifted. */
  readonly shifted: boolean;
}

/**
 * Which keys each query of a head sees where groups are made by a roll: tokens
 * of a shifted head move forward by half a group, those at the front to the end;
 * the row is cut into groups; each is causal in itself; and outputs move back.
 *
 * @returns `[tokens, tokens]`, 1 where a query sees a key
 *
 * @example A query that sees a later key
 * ```ts
 * import { rolledGroups } from "@quire/attention/reference";
 *
 * const groups = { tokens: 4, groupSize: 2, shifted: true };
 * console.log(rolledGroups(groups).slice(0, 4)); // 1 0 0 1
 * ```
 *
 * @category Policies
 */
export function rolledGroups(
  { tokens, groupSize, shifted }: LongLoraGroups,
): Uint8Array {
  const roll = shifted ? Math.floor(groupSize / 2) : 0;
  const rolled = Array.from({ length: tokens }, (_, i) => (i + roll) % tokens);
  const seen = new Uint8Array(tokens * tokens);
  for (let start = 0; start < tokens; start += groupSize) {
    const group = rolled.slice(start, start + groupSize);
    group.forEach((query, i) => {
      for (const key of group.slice(0, i + 1)) seen[query * tokens + key] = 1;
    });
  }
  return seen;
}

/**
 * The same where groups are sequences of a ragged batch, each causal: those of a
 * shifted head begin with half a group and end with one.
 *
 * @returns `[tokens, tokens]`, 1 where a query sees a key
 *
 * @example No query sees a later key
 * ```ts
 * import { raggedGroups } from "@quire/attention/reference";
 *
 * const groups = { tokens: 4, groupSize: 2, shifted: true };
 * console.log(raggedGroups(groups).slice(0, 4)); // 1 0 0 0
 * ```
 *
 * @category Policies
 */
export function raggedGroups(
  { tokens, groupSize, shifted }: LongLoraGroups,
): Uint8Array {
  const bounds = [0];
  let at = shifted ? Math.floor(groupSize / 2) : groupSize;
  for (; at < tokens; at += groupSize) bounds.push(at);
  bounds.push(tokens);
  const seen = new Uint8Array(tokens * tokens);
  for (let i = 1; i < bounds.length; i++) {
    for (let query = bounds[i - 1]; query < bounds[i]; query++) {
      seen.fill(1, query * tokens + bounds[i - 1], query * tokens + query + 1);
    }
  }
  return seen;
}

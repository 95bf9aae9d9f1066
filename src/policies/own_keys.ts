/**
 * Policies whose rows may see no keys but those of their own part of a sequence.
 *
 * @module
 */

import { checkRange } from "../core/check.ts";
import type { PolicyShape } from "../ops/mod.ts";

/**
 * Throws unless each row's own part has a key, which the row then sees: parts
 * begin at or before their rows, later ones later, so that the last row decides.
 *
 * @param policy Its name.
 * @param partOf Where the part of a position of a sequence begins, and what
 * errors call it.
 */
export function checkOwnKeys(
  policy: string,
  sequences: PolicyShape["sequences"],
  partOf: (position: number, sequence: number) => {
    readonly start: number;
    readonly part: string;
  },
): void {
  sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
    if (queryCount === 0 || keyCount === 0) return;
    const { start, part } = partOf(queryOffset + queryCount - 1, i);
    checkRange(
      start < keyCount,
      `queryOffset of sequence ${i}`,
      `must leave each query a key in its own ${part} for select (${policy}), whose rows may have no other: there are ${keyCount} keys and ${queryCount} queries`,
      queryOffset,
    );
  });
}

/**
 * Whether every row of a call sees a key.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import type { PolicyShape } from "../../ops/mod.ts";
import type { HeadShifts } from "./heads.ts";
import { keepsBlock } from "./kept.ts";
import type { S2Pattern } from "./options.ts";

/**
 * Throws where a row whose band has no key has no block of the stride either.
 *
 * @param ownHead The only key/value head of a sequence, where it has but one.
 */
export function checkRows(
  pattern: S2Pattern,
  shifts: HeadShifts,
  { sequences, ownHead }: {
    readonly sequences: PolicyShape["sequences"];
    readonly ownHead?: (sequence: number) => number;
  },
): void {
  const { causal, block, band, stride } = pattern;
  // Patterns repeat with the stride, from head to head and row to row.
  const all = Array.from(
    { length: Math.min(shifts.sparse, stride) },
    (_, kvHead) => kvHead,
  );
  sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
    if (queryCount === 0 || keyCount === 0) return;
    const name = `select (s2): queryOffset of sequence ${i}`;
    checkRange(
      causal || queryOffset >= 0,
      name,
      "must be >= 0, as blocks begin at position 0; give it causal: true, or rows that stand among the keys",
      queryOffset,
    );
    const heads = ownHead ? [ownHead(i)] : all;
    const blocks = Math.ceil(keyCount / block);
    const last = Math.floor((queryOffset + queryCount - 1) / block);
    // Rows before this one have a key within their band.
    const beyond = blocks + band.left - 1;
    const first = Math.max(beyond, Math.floor(queryOffset / block));
    for (let row = first; row <= Math.min(last, first + stride); row++) {
      const kvHead = heads.find((kvHead) =>
        !seesAny(pattern, shifts, { kvHead, row, blocks })
      );
      checkRange(
        kvHead === undefined,
        name,
        `must leave every row a key, but rows of block ${row} have none of ${keyCount} keys in kv head ${kvHead}; give maskMods() as maskMod where that is meant`,
        queryOffset,
      );
    }
  });
}

/** Whether rows of a block behind all keys see any of them. */
function seesAny(
  pattern: S2Pattern,
  shifts: HeadShifts,
  { kvHead, row, blocks }: {
    readonly kvHead: number;
    readonly row: number;
    readonly blocks: number;
  },
): boolean {
  const first = Math.max(0, blocks - pattern.stride);
  for (let column = first; column < blocks; column++) {
    if (keepsBlock(pattern, shifts, { kvHead, row, column })) return true;
  }
  return false;
}

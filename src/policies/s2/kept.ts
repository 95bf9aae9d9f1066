/**
 * What an S2 pattern keeps: as an expression for kernels, and block by block.
 *
 * @module
 */

import type { Bool, Int } from "../../mods/mod.ts";
import type { HeadShifts } from "./heads.ts";
import type { S2Pattern } from "./options.ts";

/** Positions and a key/value head. */
interface Pair {
  readonly query: Int;
  readonly key: Int;
  readonly kvHead: Int;
}

/** Whether a query sees a key. Positions of queries are >= 0 or see none. */
export function keptPair(
  pattern: S2Pattern,
  { sparse, step }: HeadShifts,
  { query, key, kvHead }: Pair,
): Bool {
  const { block, stride, causal, relative, offset, denseHeads } = pattern;
  const [row, column] = [query.div(block), key.div(block)];
  const { left, right } = pattern.band;
  const before = row.sub(column);
  // Of a causal row the last block is its own: one side is enough.
  const after = causal ? undefined : column.sub(row);
  let kept: Bool;
  if (relative) {
    const passed = before.sub(left - 1).max(0);
    const distance = after === undefined
      ? passed
      : passed.add(after.sub(right - 1).max(0));
    kept = distance.rem(stride).eq(0);
  } else {
    const near = before.lt(left);
    const far = column.add(kvHead.mul(step)).add(offset).rem(stride).eq(0);
    kept = (after === undefined ? near : near.and(after.lt(right))).or(far);
  }
  if (denseHeads > 0) kept = kept.or(kvHead.ge(sparse));
  return causal ? key.le(query).and(kept) : kept;
}

/** Whether rows of a block see keys of another. */
export function keepsBlock(
  pattern: S2Pattern,
  { sparse, step }: HeadShifts,
  { kvHead, row, column }: {
    readonly kvHead: number;
    readonly row: number;
    readonly column: number;
  },
): boolean {
  const { stride, causal, relative, offset } = pattern;
  const { left, right } = pattern.band;
  if (causal && column > row) return false;
  if (kvHead >= sparse) return true;
  if (relative) {
    const passed = Math.max(0, row - column - left + 1);
    const ahead = Math.max(0, column - row - right + 1);
    return (passed + ahead) % stride === 0;
  }
  return (row - column < left && column - row < right) ||
    (column + kvHead * step + offset) % stride === 0;
}

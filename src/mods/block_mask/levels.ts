/**
 * What is known of a block, as a number: the order makes `and` the least,
 * `or` the greatest, and `not` the distance to the top (Kleene's logic).
 *
 * @module
 */

import { type BlockGrid, blockRows } from "./geometry.ts";

/** No pair of the block is seen: it is not visited. */
export const EMPTY = 0;
/** It varies by pair, or is not known: the mask is evaluated. */
export const PARTIAL = 1;
/** Every pair is seen: the mask is not evaluated. */
export const FULL = 2;

/** Uint8Array of a mask's own sizes, as those of one of more sequences or heads. */
export function broadcastLevels(
  levels: Uint8Array,
  own: BlockGrid,
  grid: BlockGrid,
): Uint8Array {
  const { batch, heads } = grid;
  if (own.batch === batch && own.heads === heads) return levels;
  const plane = grid.queryBlocks * grid.keyBlocks;
  const out = new Uint8Array(batch * heads * plane);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const from = Math.min(b, own.batch - 1) * own.heads +
        Math.min(h, own.heads - 1);
      out.set(
        levels.subarray(from * plane, (from + 1) * plane),
        (b * heads + h) * plane,
      );
    }
  }
  return out;
}

/** The same with blocks of keys as rows: `[batch, heads, keyBlocks, queryBlocks]`. */
export function transposeLevels(
  levels: Uint8Array,
  grid: BlockGrid,
): Uint8Array {
  const { batch, heads, queryBlocks, keyBlocks } = grid;
  const out = new Uint8Array(levels.length);
  const plane = queryBlocks * keyBlocks;
  for (let at = 0; at < batch * heads * plane; at += plane) {
    for (let q = 0; q < queryBlocks; q++) {
      for (let k = 0; k < keyBlocks; k++) {
        out[at + k * queryBlocks + q] = levels[at + q * keyBlocks + k];
      }
    }
  }
  return out;
}

/** The level of every block by what a function says of it. */
export function levelsOf(
  grid: BlockGrid,
  level: (
    at: {
      readonly batch: number;
      readonly head: number;
      readonly queryBlock: number;
      readonly keyBlock: number;
    },
  ) => number,
): Uint8Array {
  const { heads, queryBlocks, keyBlocks } = grid;
  const out = new Uint8Array(blockRows(grid) * keyBlocks);
  for (let n = 0; n < out.length; n++) {
    const row = Math.floor(n / keyBlocks);
    const plane = Math.floor(row / queryBlocks);
    out[n] = level({
      batch: Math.floor(plane / heads),
      head: plane % heads,
      queryBlock: row % queryBlocks,
      keyBlock: n % keyBlocks,
    });
  }
  return out;
}

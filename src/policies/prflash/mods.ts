/**
 * What is drawn, as mods: a mask, and the scores' correction by the chance that
 * a block had.
 *
 * @module
 */

import type { HashState } from "../../core/dropout.ts";
import { capture } from "../../mods/captures/capture.ts";
import { type Int, int } from "../../mods/expression.ts";
import { randomBits } from "../../mods/random.ts";
import {
  type MaskMod,
  maskMod,
  type ScoreMod,
  scoreMod,
} from "../../mods/trace.ts";
import { CERTAIN } from "./keep_probability.ts";

/** The chances by distance, and how long a block is. */
export interface DrawnBlocks {
  /** See `keepTable()`. */
  readonly table: readonly number[];
  /** Positions of a block. */
  readonly block: number;
}

/** Which blocks are kept, for a hash that has taken in the seed and the round. */
export function drawnMask(
  { table, block }: DrawnBlocks,
  { state, group }: {
    readonly state: HashState;
    /** Query heads of a kv head. */
    readonly group: number;
  },
): MaskMod {
  // Of 31 bits the most that are kept: none are less than -1, all at most 2^31 - 1.
  const most = capture(Int32Array.from(table, (kept) => kept - 1), {
    name: "chances by distance",
  });
  return maskMod("experimentalPrFlash", ({ batch, head, query, key }) => {
    const [row, column] = blocksOf({ query, key }, block);
    const bits = randomBits(state, [batch, head.div(group), row], column);
    const kept = bits.shr(1).le(most.at(row.sub(column)));
    return key.le(query).and(kept);
  });
}

/** `-ln p` of a block's distance, added to its scores. */
export function inverseChances({ table, block }: DrawnBlocks): ScoreMod {
  const logs = capture(
    Float32Array.from(table, (kept) => -Math.log(kept / CERTAIN)),
    { name: "-ln of chances by distance" },
  );
  return scoreMod("experimentalPrFlash", ({ score, query, key }) => {
    const [row, column] = blocksOf({ query, key }, block);
    return score.add(logs.at(row.sub(column)));
  });
}

function blocksOf(
  { query, key }: { readonly query: Int; readonly key: Int },
  block: number,
): [row: Int, column: Int] {
  const length = int(block);
  return [query.div(length), key.div(length)];
}

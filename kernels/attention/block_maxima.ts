/**
 * What the forward kernel leaves of its scores, where it is asked for: each
 * row's largest in each block of keys,
 *
 * ```text
 * r_iJ = max over the keys j of block J that row i sees of s_ij
 * ```
 *
 * A lane carries the maximum of its rows along a block's steps, and writes it
 * once a block: N Tc numbers in all. Who visits a block may be several
 * workgroups (splits, workers), so the numbers meet by an integer maximum, whose
 * result does not depend on the order. 0 stands for a block of which the row sees
 * nothing.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import { placeOf } from "../fragments/rows.ts";
import { ORDER_OF } from "../fragments/score_order.ts";
import { wgsl } from "../wgsl.ts";
import { type EpilogueSpec, lsePlaces } from "./epilogue.ts";
import type { RegisterTile } from "./score_tile.ts";

/** `[rows, blocks]`, rows in the order of the log-sum-exp; as orders of scores. */
export const BLOCK_MAXIMA = "block_maxima";

/** Keys of a block, and blocks of a row. */
export const SCORE_BLOCKS = {
  score_block: "u32",
  score_blocks: "u32",
} as const;

/** `note_block`: takes a score into a row's maximum of a block. */
export function blockMaxima(
  spec: Pick<EpilogueSpec, "stridedQueries">,
): Fragment {
  return {
    needs: [onlineSoftmax, lsePlaces(spec)],
    bindings: [{
      name: BLOCK_MAXIMA,
      type: "array<atomic<u32>>",
      access: "read_write",
    }],
    uniforms: SCORE_BLOCKS,
    code: wgsl(
      `
      $orderOf

      fn note_block(row: u32, block: u32, score: f32) {
        if (score != SENTINEL) {
          atomicMax(&$maxima[row * params.score_blocks + block], order_of(score));
        }
      }
      `,
      { orderOf: ORDER_OF, maxima: BLOCK_MAXIMA },
    ),
  };
}

/** Declares `top_{row}`: the largest score of the block so far. */
export function beginMaxima({ rowsPerLane: rows }: RegisterTile): string {
  return wgsl(
    `
    @each r in rows
    var top_$r = SENTINEL;
    @end
    `,
    { rows },
  );
}

/**
 * Takes a step's scores `s_{row}_{key}` into its block's maxima, which are
 * written where the block, or the run, ends. A block's keys are a multiple of the
 * step's. Rows past the end repeat the last one: they change nothing.
 */
export function noteMaxima(
  { rowsPerLane: rows, keysPerStep: keys }: RegisterTile,
  { stridedQueries: batches = false }: Pick<EpilogueSpec, "stridedQueries">,
): string {
  const row = placeOf({ name: "lse", batches }, {
    batch: "batch_$r",
    token: "token_$r",
    head: "head_$r",
  });
  return wgsl(
    `
    @each r in rows
    @each j in keys
    top_$r = max(top_$r, s_$r_$j);
    @end
    @end
    let next_key = first_key + $keys;
    if (next_key % params.score_block == 0u || next_key >= end_key) {
      @each r in rows
      note_block(${row}, first_key / params.score_block, top_$r);
      top_$r = SENTINEL;
      @end
    }
    `,
    { rows, keys },
  );
}

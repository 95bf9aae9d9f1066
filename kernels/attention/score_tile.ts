/**
 * Scores of a row tile against a step of keys, in registers `s_{row}_{key}`:
 * what `forward` and the standard baseline start from.
 *
 * @module
 */

import { dotRows } from "../fragments/dot.ts";
import type { ModSource } from "../fragments/score.ts";
import { wgsl } from "../wgsl.ts";
import { nameRows, type QuerySpec } from "./query_rows.ts";

/**
 * A register tile with lanes along query rows.
 *
 * @category Kernels
 */
export interface RegisterTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows that each lane owns. */
  readonly rowsPerLane: number;
  /** Keys that are scored in one step. */
  readonly keysPerStep: number;
}

/** Query rows of one work tile. */
export function tileRows({ lanes, rowsPerLane }: RegisterTile): number {
  return lanes * rowsPerLane;
}

/** Row `r` of a lane within its tile: neighbouring lanes have neighbours. */
export function localRow({ lanes }: RegisterTile, r: number): string {
  return `${r * lanes}u + lane`;
}

/** Names for the rows that a lane owns. */
export function ownRows(
  tile: RegisterTile,
  queries: QuerySpec["queries"],
): string {
  const rows = Array.from(
    { length: tile.rowsPerLane },
    (_, r) => localRow(tile, r),
  );
  return nameRows(rows, queries);
}

/**
 * Places of the step's keys and values, dot products, scale, mods and mask.
 * Expects `cursor` at `first_key`, and `masked`; declares `hidden_{row}`, one
 * bit a key that the row does not see.
 */
export function scoreTile(
  spec: { readonly tile: RegisterTile; readonly mods?: ModSource | undefined },
): string {
  const { rowsPerLane: rows, keysPerStep: keys } = spec.tile;
  return wgsl(
    `
    @each j in keys
    let key_$j = key_place(cursor, kv_head);
    let value_$j = value_place(cursor, kv_head);
    cursor = advance(cursor, first_key + $j + 1u < sequence.key_count);
    @end
    $dots

    // A loop at run time: unrolled, the mask would be inlined once a score, and
    // compiling would take seconds.
    @each r in rows
    var hidden_$r = 0u;
    @end
    if (masked) {
      for (var j = 0u; j < $keys; j++) {
        let key = i32(first_key + j);
        @each r in rows
        hidden_$r |= select(1u << j, 0u, sees(batch_$r, i32(head_$r), position_$r, key, i32(sequence.key_count)));
        @end
      }
    }
    @each r in rows
    @each j in keys
    s_$r_$j = select(s_$r_$j * params.scale, SENTINEL, extractBits(hidden_$r, $j, 1u) != 0u);
    @end
    @end
    @if modified
    $modify
    @end
    `,
    {
      rows,
      keys,
      dots: dotRows(rows, keys),
      modified: spec.mods?.hasScore ?? false,
      modify: modifyScores(spec.tile),
    },
  );
}

/** Score mods, in a loop at run time over a copy of the tile. */
function modifyScores(
  { rowsPerLane: rows, keysPerStep: keys }: RegisterTile,
): string {
  return wgsl(
    `
    var scores: array<f32, $size>;
    @each r in rows
    @each j in keys
    scores[$r * $keys + $j] = s_$r_$j;
    @end
    @end
    for (var j = 0u; j < $keys; j++) {
      let key = i32(first_key + j);
      @each r in rows
      if (extractBits(hidden_$r, j, 1u) == 0u) {
        scores[$r * $keys + j] = modify(scores[$r * $keys + j], batch_$r, i32(head_$r), position_$r, key);
      }
      @end
    }
    @each r in rows
    @each j in keys
    s_$r_$j = scores[$r * $keys + $j];
    @end
    @end
    `,
    { rows, keys, size: rows * keys },
  );
}

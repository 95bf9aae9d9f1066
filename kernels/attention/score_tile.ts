/**
 * Scores of a row tile against a step of keys, in registers `s_{row}_{key}`:
 * what `forward` and the standard baseline start from.
 *
 * @module
 */

import { dotRows } from "../fragments/dot.ts";
import { type DropoutSpec, dropTile } from "../fragments/dropout.ts";
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
 * How a tile's pairs of an own row and a row of the step are told to mods,
 * which loops at run time do.
 */
export interface TilePairs {
  /** Rows that a lane owns. */
  readonly own: number;
  /** Rows of a step. */
  readonly step: number;
  /** Names what the mods need of row `j` of the step. */
  readonly each: string;
  /** Batch, head, query and key of own row `$r` and that row. */
  readonly pair: string;
  /** What else must hold for the two to see each other. */
  readonly exists?: string;
}

/** Lanes along query rows, steps along keys. */
export function rowPairs(
  { rowsPerLane, keysPerStep }: RegisterTile,
): TilePairs {
  return {
    own: rowsPerLane,
    step: keysPerStep,
    each: "let key = i32(first_key + j);",
    pair: "batch_$r, i32(head_$r), position_$r, key",
  };
}

/**
 * Dropout of a step's weights `s_{row}_{key}`, once their sum is taken; declares
 * `dropped_{row}`, one bit a key. Nothing where nothing is dropped.
 */
export function dropWeights(
  { dropout, tile }: DropoutSpec & { readonly tile: RegisterTile },
): string {
  if (!dropout) return "";
  const { rowsPerLane: rows, keysPerStep: keys } = tile;
  return wgsl(
    `
    $drops
    @each r in rows
    @each j in keys
    s_$r_$j *= kept(extractBits(dropped_$r, $j, 1u) != 0u);
    @end
    @end
    `,
    { rows, keys, drops: dropTile(rowPairs(tile)) },
  );
}

/** Names for the places of a step's keys, and of its values. */
export function placeKeys(keys: number, values = true): string {
  return wgsl(
    `
    @each j in keys
    let key_$j = key_place(cursor, kv_head);
    @if values
    let value_$j = value_place(cursor, kv_head);
    @end
    cursor = advance(cursor, first_key + $j + 1u < sequence.key_count);
    @end
    `,
    { keys, values },
  );
}

/**
 * Places of the step's keys and values, dot products, scale, mods and mask.
 * Expects `cursor` at `first_key`, where `places` does not say where keys and
 * values are, and `masked`; declares `hidden_{row}`, one bit a key that the row
 * does not see.
 */
export function scoreTile(
  spec: { readonly tile: RegisterTile; readonly mods?: ModSource | undefined },
  places: string = placeKeys(spec.tile.keysPerStep),
): string {
  const { rowsPerLane: rows, keysPerStep: keys } = spec.tile;
  const pairs = rowPairs(spec.tile);
  return wgsl(
    `
    $places
    $dots

    $hide
    @if modified
    $modify
    @end
    `,
    {
      places,
      dots: dotRows(rows, keys),
      hide: hideScores(pairs),
      modified: spec.mods?.hasScore ?? false,
      modify: modifyScores(pairs),
    },
  );
}

/**
 * A step of scores taken into the rows' `m_{row}` and `l_{row}`: scores become
 * weights, and `alpha_{row}` is what the accumulator is to be multiplied by.
 */
export function softmaxStep(
  { rowsPerLane: rows, keysPerStep: keys }: RegisterTile,
): string {
  return wgsl(
    `
    @each r in rows
    var max_$r = m_$r;
    @each j in keys
    max_$r = max(max_$r, s_$r_$j);
    @end
    let alpha_$r = rescale(m_$r, max_$r);
    m_$r = max_$r;
    var sum_$r = 0.0;
    @each j in keys
    s_$r_$j = weight(s_$r_$j, m_$r);
    sum_$r += s_$r_$j;
    @end
    l_$r = carry_sum(l_$r, alpha_$r, sum_$r);
    @end
    `,
    { rows, keys },
  );
}

/** Scales the products `s_{r}_{j}` of a tile and hides those the mask rules out. */
export function hideScores(
  { own, step, each, pair, exists = "" }: TilePairs,
): string {
  return wgsl(
    `
    // A loop at run time: unrolled, the mask would be inlined once a score, and
    // compiling would take seconds.
    @each r in own
    var hidden_$r = 0u;
    @end
    if (masked) {
      for (var j = 0u; j < $step; j++) {
        ${each}
        @each r in own
        hidden_$r |= select(1u << j, 0u, ${exists}sees(${pair}, i32(sequence.key_count)));
        @end
      }
    }
    @each r in own
    @each j in step
    s_$r_$j = select(s_$r_$j * params.scale, SENTINEL, extractBits(hidden_$r, $j, 1u) != 0u);
    @end
    @end
    `,
    { own, step },
  );
}

/**
 * Score mods, in a loop at run time over a copy of the tile; with `derivatives`
 * also declares the array of that name: of each score, by the dot product.
 */
export function modifyScores(
  { own, step, each, pair }: TilePairs,
  derivatives = false,
): string {
  return wgsl(
    `
    var scores: array<f32, $size>;
    @if derivatives
    var derivatives: array<f32, $size>;
    @end
    @each r in own
    @each j in step
    scores[$r * $step + $j] = s_$r_$j;
    @end
    @end
    for (var j = 0u; j < $step; j++) {
      ${each}
      @each r in own
      if (extractBits(hidden_$r, j, 1u) == 0u) {
        @if derivatives
        derivatives[$r * $step + j] = modify_derivative(scores[$r * $step + j], ${pair});
        @end
        scores[$r * $step + j] = modify(scores[$r * $step + j], ${pair});
      }
      @end
    }
    @each r in own
    @each j in step
    s_$r_$j = scores[$r * $step + $j];
    @end
    @end
    `,
    { own, step, size: own * step, derivatives },
  );
}

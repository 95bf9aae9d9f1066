/**
 * Gradients of scores that one kernel writes and others multiply: dS of a
 * stretch of each sequence's keys by all of its packed query rows, in f32.
 *
 * ```text
 * [kv head, key tile, four rows, key of the tile]   vec4s of four rows
 * ```
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { WordRecord } from "../../record.ts";
import { wgsl } from "../../wgsl.ts";

const STRETCH_FIELDS = {
  /** Where its first vec4 is. */
  start: "u32",
  /** Its first key, of a key tile. */
  first_key: "u32",
  /** Key tiles. */
  tile_count: "u32",
  /** vec4s of a key's rows. */
  row_vecs: "u32",
} as const;

/** Keys of a sequence whose scores' gradients are stored at the same time. */
export const STRETCH: WordRecord<typeof STRETCH_FIELDS> = new WordRecord(
  "Stretch",
  STRETCH_FIELDS,
);

/** vec4s of a stretch for one kv head. */
export function stretchVecs(
  { keys, rows }: { readonly keys: number; readonly rows: number },
): number {
  return keys * rows / 4;
}

/**
 * `read_stretch_of`, and `score_gradients_of`: where a key's first four rows
 * are; four more are as many vec4s on as a tile has keys.
 */
export function scoreGradientRows(
  { tileKeys, access }: {
    /** Keys of a tile. */
    readonly tileKeys: number;
    readonly access: "read" | "read_write";
  },
): Fragment {
  return {
    bindings: [{ name: "score_gradients", type: "array<vec4f>", access }],
    uniforms: { stretches_at: "u32", first_sequence: "u32" },
    code: wgsl(
      `
      $record

      fn stretch_of(sequence: u32) -> Stretch {
        return read_stretch(params.stretches_at + $words * (sequence - params.first_sequence));
      }

      fn score_gradients_of(stretch: Stretch, kv_head: u32, key: u32) -> u32 {
        let tile = (key - stretch.first_key) / $tileKeys;
        let own = (key - stretch.first_key) % $tileKeys;
        return stretch.start + (kv_head * stretch.tile_count + tile) * stretch.row_vecs * $tileKeys + own;
      }
      `,
      {
        record: STRETCH.declare("stretch"),
        words: STRETCH.words,
        tileKeys,
      },
    ),
  };
}

/** Names for where a lane's keys `key_{r}` have theirs. */
export function placeScores(own: number): string {
  return wgsl(
    `
    let stretch = stretch_of(tile.sequence);
    @each r in own
    let scores_at_$r = score_gradients_of(stretch, kv_head, key_$r);
    let exists_$r = key_$r < sequence.key_count;
    @end
    `,
    { own },
  );
}

/**
 * Stores `ds_{r}_{j}` of a step of rows from `first_row` on, or zeros. Keys past
 * the sequence's end have repeated its last one, and give nothing.
 */
export function storeScores(
  { own, step, tileKeys }: {
    readonly own: number;
    readonly step: number;
    readonly tileKeys: number;
  },
  what: "gradients" | "zeros" = "gradients",
): string {
  const fours = Array.from({ length: step / 4 }, (_, q) =>
    wgsl(
      `
      @each r in own
      @if zeros
      score_gradients[scores_at_$r + step_at + $offset] = vec4f(0.0);
      @else
      score_gradients[scores_at_$r + step_at + $offset] = select(vec4f(0.0), vec4f(ds_$r_$a, ds_$r_$b, ds_$r_$c, ds_$r_$d), exists_$r);
      @end
      @end
      `,
      {
        own,
        zeros: what === "zeros",
        offset: q * tileKeys,
        a: 4 * q,
        b: 4 * q + 1,
        c: 4 * q + 2,
        d: 4 * q + 3,
      },
    ));
  return [
    wgsl("let step_at = first_row / 4u * $tileKeys;", { tileKeys }),
    ...fours,
  ].join("\n");
}

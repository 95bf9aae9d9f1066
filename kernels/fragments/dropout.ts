/**
 * Dropout of weights, by a hash of (seed, batch, head, query position, key):
 * `src/core/dropout.ts` in WGSL, bit by bit. A weight is dropped where it
 * multiplies a value; the sum that it is divided by has it all the same.
 *
 * A row's state is worked out once, its keys' bits one by one: no tile, split or
 * layout is in either.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * `keep(batch, head, query, key)`: 0 or `1 / (1 - rate)`; and in two steps
 * `dropout_row(batch, head, query)` and `drops(row, key)`.
 */
export const dropout: Fragment = {
  uniforms: {
    dropout_seed_low: "u32",
    dropout_seed_high: "u32",
    dropout_threshold: "u32",
    dropout_factor: "f32",
  },
  code: wgsl(`
    // Each bit of the result depends on all of x (MurmurHash3's finalizer).
    fn mix_bits(x: u32) -> u32 {
      var h = x ^ (x >> 16u);
      h *= 0x85ebca6bu;
      h ^= h >> 13u;
      h *= 0xc2b2ae35u;
      return h ^ (h >> 16u);
    }

    fn take_in(state: vec2u, word: i32) -> vec2u {
      let a = mix_bits((state.x ^ bitcast<u32>(word)) + 0x9e3779b9u);
      return vec2u(a, mix_bits(state.y ^ a));
    }

    fn dropout_row(batch: i32, head: i32, query: i32) -> vec2u {
      let seed = vec2u(params.dropout_seed_low, params.dropout_seed_high);
      return take_in(take_in(take_in(seed, batch), head), query);
    }

    fn drops(row: vec2u, key: i32) -> bool {
      let bits = mix_bits(mix_bits(bitcast<u32>(key) ^ row.x) ^ row.y);
      return bits < params.dropout_threshold;
    }

    fn kept(dropped: bool) -> f32 {
      return select(params.dropout_factor, 0.0, dropped);
    }

    fn keep(batch: i32, head: i32, query: i32, key: i32) -> f32 {
      return kept(drops(dropout_row(batch, head, query), key));
    }
  `),
};

/** The fragment where a kernel drops, nothing where it does not. */
export function dropoutOf(spec: DropoutSpec): Fragment[] {
  return spec.dropout ? [dropout] : [];
}

/**
 * Whether weights are dropped.
 *
 * @category Kernels
 */
export interface DropoutSpec {
  /** Whether weights are dropped; not by default. */
  readonly dropout?: boolean | undefined;
}

/** Names for the states of `count` named rows: `dropout_{r}`. */
export function dropoutRows({ dropout }: DropoutSpec, count: number): string {
  return wgsl(
    `
    @if dropout
    @each r in count
    let dropout_$r = dropout_row(batch_$r, i32(head_$r), position_$r);
    @end
    @end
    `,
    { dropout: dropout ?? false, count },
  );
}

/** The pairs of a tile's own rows with the rows of a step. */
export interface DropTile {
  /** Rows that a lane owns: `$r` below. */
  readonly own: number;
  /** Rows of a step. */
  readonly step: number;
  /** Names what is needed of row `j` of the step. */
  readonly each: string;
  /** A query row's state and the key of own row `$r` and that row. */
  readonly drops?: string;
}

/**
 * Declares `dropped_{row}`, one bit a row of a step, whose rows are keys from
 * `first_key` on by default. A loop at run time: unrolled, the hash would be
 * inlined once a weight.
 */
export function dropTile(
  { own, step, each, drops = "dropout_$r, key" }: DropTile,
): string {
  return wgsl(
    `
    @each r in own
    var dropped_$r = 0u;
    @end
    for (var j = 0u; j < $step; j++) {
      ${each}
      @each r in own
      dropped_$r |= select(0u, 1u << j, drops(${drops}));
      @end
    }
    `,
    { own, step },
  );
}

/**
 * Standard attention (FlashAttention, Alg. 0): three dispatches that write
 * S = Q K^T, then P = softmax(S), what dropout drops set to 0, to memory, then
 * read it for O = P V. It takes
 * `4 N S` bytes of scratch a head, and it is the baseline of every ratio.
 *
 * It shares every fragment with the fused kernels. Scratch is
 * `[work tile, kvHead, key, row]`, so that lanes, which go along rows, touch
 * neighbouring words.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { dropoutOf, dropoutRows } from "../fragments/dropout.ts";
import { keyRows, valueRows } from "../fragments/key_value.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import {
  entryPoint,
  SELECTED_TILE,
  tiles,
  WORK_TILE,
} from "../fragments/schedule.ts";
import { scoreMods } from "../fragments/score.ts";
import { wgsl } from "../wgsl.ts";
import { lseRows, outputRows } from "./epilogue.ts";
import { placeRows, queryRows } from "./query_rows.ts";
import {
  ownRows,
  type RegisterTile,
  scoreTile,
  tileRows,
} from "./score_tile.ts";
import { type AttentionSpec, beginTile } from "./spec.ts";

/**
 * What the standard kernels' sources depend on.
 *
 * @category Kernels
 */
export interface StandardSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: RegisterTile;
}

/**
 * The three kernels, in the order of their dispatches.
 *
 * @category Kernels
 */
export interface StandardKernels {
  /** S = scale Q K^T, through mods and mask. */
  readonly scores: KernelSource;
  /** P = softmax(S) in place, and the log-sum-exp. */
  readonly softmax: KernelSource;
  /** O = P V. */
  readonly values: KernelSource;
}

/** vec4 columns that the P V product keeps in registers a row. */
export const STANDARD_COLUMNS = 4;

/**
 * The standard kernels; grid: (work tiles, kv heads).
 *
 * @example Three kernels, in order
 * ```ts
 * import {
 *   type AttentionSpec,
 *   rowFormat,
 *   standardKernels,
 * } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const row = rowFormat("f32", 64);
 * const spec: AttentionSpec = {
 *   layout: "contiguous",
 *   segments: 0,
 *   quads: true,
 *   shift: false,
 *   queryFormat: row,
 *   keyFormat: row,
 *   valueFormat: row,
 *   outputFormat: row,
 *   lse: false,
 *   partial: false,
 *   queries: "consecutive",
 *   persistent: false,
 * };
 * const kernels = standardKernels({
 *   ...spec,
 *   tile: { lanes: 8, rowsPerLane: 2, keysPerStep: 4 },
 * });
 * assertEquals(Object.keys(kernels), ["scores", "softmax", "values"]);
 * ```
 *
 * @category Kernels
 */
export function standardKernels(spec: StandardSpec): StandardKernels {
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = spec.tile;
  const { stridedQueries: strided = false } = spec;
  const scope = { rows, keys, lanes, columns: STANDARD_COLUMNS, strided };
  const kernel = (
    name: string,
    fragments: readonly Fragment[],
    body: string,
  ): KernelSource =>
    kernelOf({
      label: `attention.standard.${name}/${spec.queryFormat.dtype}.${
        tileRows(spec.tile)
      }`,
      fragments: [
        ...fragments,
        tiles(spec.selected ? SELECTED_TILE : WORK_TILE),
        {
          uniforms: { kv_heads: "u32", scratch_keys: "u32" },
          code: wgsl(PLACE, { ...scope, tileRows: tileRows(spec.tile) }),
        },
      ],
      main: entryPoint(
        lanes,
        [SCRATCH_AT, ownRows(spec.tile, "consecutive"), body].join("\n"),
      ),
    });
  return {
    scores: kernel(
      "scores",
      [
        queryRows({ ...spec, queries: "consecutive" }),
        keyRows(spec),
        // Places of values come along with those of keys; none is read.
        { ...valueRows(spec), needs: [] },
        scoreMods(spec.mods, { selected: spec.selected }),
        scratch("read_write"),
      ],
      [
        beginTile(spec),
        placeRows(rows, spec),
        wgsl(SCORES, { ...scope, scores: scoreTile(spec) }),
      ].filter((part) => part !== "").join("\n"),
    ),
    softmax: kernel(
      "softmax",
      [
        onlineSoftmax,
        scratch("read_write"),
        ...(spec.lse ? [lseRows(spec)] : []),
        ...dropoutOf(spec),
      ],
      [
        ...spec.dropout ? [dropoutRows(spec, rows)] : [],
        wgsl(SOFTMAX, {
          ...scope,
          lse: spec.lse,
          dropout: spec.dropout ?? false,
        }),
      ].join("\n"),
    ),
    values: kernel(
      "values",
      [scratch("read"), valueRows(spec), outputRows(spec)],
      wgsl(VALUES, scope),
    ),
  };
}

function scratch(access: "read" | "read_write"): Fragment {
  return { bindings: [{ name: "scratch", type: "array<f32>", access }] };
}

const SCRATCH_AT =
  "let scratch_at = (tile_index * params.kv_heads + kv_head) * params.scratch_keys;";

const PLACE = `
// Where a lane's row r has its score of a key.
fn place_of(scratch_at: u32, key: u32, r: u32, lane: u32) -> u32 {
  return (scratch_at + key) * $tileRows + r * $lanes + lane;
}
`;

const SCORES = `
let masked = true;
if (sequence.key_count > 0u) {
  var cursor = seek(sequence, 0u);
  for (var first_key = 0u; first_key < sequence.key_count; first_key += $keys) {
    $scores
    @each r in rows
    @each j in keys
    if (first_key + $j < sequence.key_count) {
      scratch[place_of(scratch_at, first_key + $j, $r, lane)] = s_$r_$j;
    }
    @end
    @end
  }
}
`;

// Sums go in steps, as in the fused kernels: the error grows with their number,
// not with that of the keys.
const SOFTMAX = `
@each r in rows
var maximum_$r = SENTINEL;
var sum_$r = 0.0;
@end
for (var key = 0u; key < sequence.key_count; key++) {
  @each r in rows
  maximum_$r = max(maximum_$r, scratch[place_of(scratch_at, key, $r, lane)]);
  @end
}
for (var first_key = 0u; first_key < sequence.key_count; first_key += $keys) {
  @each r in rows
  var step_$r = 0.0;
  @end
  for (var key = first_key; key < min(first_key + $keys, sequence.key_count); key++) {
    @each r in rows
    {
      let at = place_of(scratch_at, key, $r, lane);
      let p = weight(scratch[at], maximum_$r);
      scratch[at] = p;
      step_$r += p;
    }
    @end
  }
  @each r in rows
  sum_$r += step_$r;
  @end
}
@each r in rows
let divisor_$r = select(sum_$r, 1.0, sum_$r == 0.0);
@end
for (var key = 0u; key < sequence.key_count; key++) {
  @each r in rows
  scratch[place_of(scratch_at, key, $r, lane)] /= divisor_$r;
  @if dropout
  scratch[place_of(scratch_at, key, $r, lane)] *= kept(drops(dropout_$r, i32(key)));
  @end
  @end
}
@if lse
@each r in rows
if (packed_$r < row_count) {
  @if strided
  lse[lse_place(batch_$r, token_$r, head_$r)] = log_sum_exp(maximum_$r, sum_$r);
  @else
  lse[lse_place(token_$r, head_$r)] = log_sum_exp(maximum_$r, sum_$r);
  @end
}
@end
@end
`;

const VALUES = `
for (var vec = 0u; vec < params.value_vecs; vec += $columns) {
  @each c in columns
  let column_$c = min(vec + $c, params.value_vecs - 1u);
  @each r in rows
  var x_$r_$c = vec4f(0.0);
  @end
  @end
  if (sequence.key_count > 0u) {
    var cursor = seek(sequence, 0u);
    for (var first_key = 0u; first_key < sequence.key_count; first_key += $keys) {
      @each c in columns
      @each r in rows
      var step_$r_$c = vec4f(0.0);
      @end
      @end
      for (var key = first_key; key < min(first_key + $keys, sequence.key_count); key++) {
        let value_at = value_place(cursor, kv_head);
        cursor = advance(cursor, key + 1u < sequence.key_count);
        @each r in rows
        let p_$r = scratch[place_of(scratch_at, key, $r, lane)];
        @end
        @each c in columns
        {
          let v = load_value(value_at, column_$c);
          @each r in rows
          step_$r_$c = select(fma(vec4f(p_$r), v, step_$r_$c), step_$r_$c, p_$r == 0.0);
          @end
        }
        @end
      }
      @each c in columns
      @each r in rows
      x_$r_$c += step_$r_$c;
      @end
      @end
    }
  }
  @each r in rows
  if (packed_$r < row_count) {
    @each c in columns
    if (vec + $c < params.value_vecs) {
      @if strided
      store_output(output_place(batch_$r, token_$r, head_$r), vec + $c, x_$r_$c);
      @else
      store_output(output_place(token_$r, head_$r), vec + $c, x_$r_$c);
      @end
    }
    @end
  }
  @end
}
`;

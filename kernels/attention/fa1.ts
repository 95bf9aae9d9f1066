/**
 * FlashAttention-1 in its own loop order (Dao et al. 2022, Alg. 1): key tiles
 * outside, row tiles inside, and of every row O, m and l in slow memory, read
 * and written, normalised, in each step.
 *
 * ```text
 * O = 0, l = 0, m = -Infinity
 * for each key tile j, in workgroup memory:
 *   for each row tile i:
 *     m' = max(m, max s)   p = exp(s - m')   l' = exp(m - m') l + sum p
 *     O = (exp(m - m') l O + p V_j) / l'
 * ```
 *
 * One workgroup does a kv head of a sequence, all of its rows; nothing else of
 * it can be parallel, since each step goes on from what the one before wrote. It
 * is a baseline: of what it moves, and of how many workgroups there are. Every
 * lane reads back only what it wrote itself.
 *
 * Workgroup memory: `keysPerStep * (keyVecs + valueVecs) * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { keyRows, valueRows } from "../fragments/key_value.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import { loadRow, rowBinding, type RowFormat } from "../fragments/rows.ts";
import {
  eachStep,
  entryPoint,
  keyRuns,
  tiles,
  WORK_TILE,
} from "../fragments/schedule.ts";
import { scoreMods } from "../fragments/score.ts";
import { dropoutOf, dropoutRows } from "../fragments/dropout.ts";
import { wgsl } from "../wgsl.ts";
import { lsePlaces, lseRows, outputRows } from "./epilogue.ts";
import { nameRows, placeRows, queryRows } from "./query_rows.ts";
import {
  dropWeights,
  localRow,
  type RegisterTile,
  scoreTile,
  softmaxStep,
  tileRows,
} from "./score_tile.ts";
import { type AttentionSpec, labelOf } from "./spec.ts";

/**
 * The tile of the FlashAttention-1 kernel.
 *
 * @category Kernels
 */
export interface Flash1Tile extends RegisterTile {
  /** Room for a key, in vec4s: at least `ceil(headDim / 4)`. */
  readonly keyVecs: number;
  /** Room for a value, in vec4s: at least `ceil(valueDim / 4)`. */
  readonly valueVecs: number;
}

/**
 * What its source depends on.
 *
 * @category Kernels
 */
export interface Flash1Spec extends AttentionSpec {
  /** The tile. */
  readonly tile: Flash1Tile;
}

/** Bytes of workgroup memory that a tile takes. */
export function flash1WorkgroupBytes(
  { keysPerStep, keyVecs, valueVecs }: Flash1Tile,
): number {
  return keysPerStep * (keyVecs + valueVecs) * 16;
}

/**
 * The kernel; grid: (sequences, kv heads).
 *
 * @example 16 keys staged, two rows a lane
 * ```ts
 * import {
 *   type AttentionSpec,
 *   flash1Kernel,
 *   rowFormat,
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
 * const { features, bindings } = flash1Kernel({
 *   ...spec,
 *   tile: { lanes: 8, rowsPerLane: 2, keysPerStep: 16, keyVecs: 16, valueVecs: 16 },
 * });
 * assertEquals(features, []);
 * assertEquals(bindings[0].name, "query");
 * ```
 *
 * @category Kernels
 */
export function flash1Kernel(spec: Flash1Spec): KernelSource {
  const { tile, outputFormat } = spec;
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = tile;
  const offsets = Array.from(
    { length: rows },
    (_, r) => `first_row + ${localRow(tile, r)}`,
  );
  const scope = {
    rows,
    keys,
    lanes,
    tileRows: tileRows(tile),
    lse: spec.lse,
    own: nameRows(offsets, spec.queries),
  };
  const step = wgsl(STEP, {
    ...scope,
    places: placeRows(rows) +
      (spec.dropout ? `\n${dropoutRows(spec, rows)}` : ""),
    scores: scoreTile(spec, wgsl(STAGED_PLACES, { keys })),
    softmax: softmaxStep(tile),
    dropWeights: dropWeights(spec),
  });
  return kernelOf({
    label: labelOf("fa1", `${tileRows(tile)}x${keys}`, spec),
    fragments: [
      queryRows(spec),
      keyRows(spec, "fetch_key"),
      valueRows(spec, "fetch_value"),
      tiles(WORK_TILE),
      keyRuns,
      onlineSoftmax,
      scoreMods(spec.mods),
      ...dropoutOf(spec),
      outputRows({ outputFormat }),
      loadedOutput(outputFormat),
      ...(spec.lse ? [lseRows()] : []),
      statistics,
      {
        code: wgsl(DECLARATIONS, {
          keyRoom: keys * tile.keyVecs,
          valueRoom: keys * tile.valueVecs,
        }),
      },
    ],
    main: entryPoint(
      lanes,
      [wgsl(BEGIN, scope), eachStep(keys, step), wgsl(END, scope)].join("\n\n"),
    ),
  });
}

function loadedOutput(format: RowFormat): Fragment {
  return loadRow({
    name: "load_output",
    bindings: [rowBinding("output", format, "read_write")],
    format,
    dim: "value_dim",
  });
}

/** m and l of every row, where a log-sum-exp of it would be. */
const statistics: Fragment = {
  needs: [lsePlaces()],
  bindings: [
    { name: "statistics", type: "array<vec2f>", access: "read_write" },
  ],
};

const DECLARATIONS = `
var<workgroup> staged_keys: array<vec4f, $keyRoom>;
var<workgroup> staged_values: array<vec4f, $valueRoom>;

fn load_key(base: u32, vec: u32) -> vec4f {
  return staged_keys[base + vec];
}

fn load_value(base: u32, vec: u32) -> vec4f {
  return staged_values[base + vec];
}
`;

const STAGED_PLACES = `
@each j in keys
let key_$j = $j * params.head_vecs;
let value_$j = $j * params.value_vecs;
@end
`;

const BEGIN = `
for (var first_row = 0u; first_row < row_count; first_row += $tileRows) {
  $own
  @each r in rows
  if (packed_$r < row_count) {
    for (var vec = 0u; vec < params.value_vecs; vec++) {
      store_output(output_place(token_$r, head_$r), vec, vec4f(0.0));
    }
    statistics[lse_place(token_$r, head_$r)] = vec2f(SENTINEL, 0.0);
  }
  @end
}
`;

// A key that no row sees has a weight of 0; its value may be NaN or Inf, whose
// product with 0 is not 0.
const STEP = `
workgroupBarrier();
for (var i = lane; i < $keys * params.head_vecs; i += $lanes) {
  let j = i / params.head_vecs;
  let cursor = seek(sequence, min(first_key + j, sequence.key_count - 1u));
  staged_keys[i] = fetch_key(key_place(cursor, kv_head), i - j * params.head_vecs);
}
for (var i = lane; i < $keys * params.value_vecs; i += $lanes) {
  let j = i / params.value_vecs;
  let cursor = seek(sequence, min(first_key + j, sequence.key_count - 1u));
  staged_values[i] = fetch_value(value_place(cursor, kv_head), i - j * params.value_vecs);
}
workgroupBarrier();
for (var first_row = 0u; first_row < row_count; first_row += $tileRows) {
  $own
  $places
  @each r in rows
  let out_$r = output_place(token_$r, head_$r);
  let statistics_at_$r = lse_place(token_$r, head_$r);
  // Rows past the end repeat the last one, which another lane writes.
  var before_$r = vec2f(SENTINEL, 0.0);
  if (packed_$r < row_count) {
    before_$r = statistics[statistics_at_$r];
  }
  var m_$r = before_$r.x;
  var l_$r = before_$r.y;
  @end
  $scores
  $softmax
  $dropWeights
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    @each r in rows
    var x_$r = vec4f(0.0);
    @end
    @each j in keys
    {
      let v = load_value(value_$j, vec);
      @each r in rows
      x_$r = select(fma(vec4f(s_$r_$j), v, x_$r), x_$r, s_$r_$j == 0.0);
      @end
    }
    @end
    @each r in rows
    if (packed_$r < row_count) {
      let accumulator = load_output(out_$r, vec) * before_$r.y;
      store_output(out_$r, vec, finish(carry_values(accumulator, alpha_$r, x_$r), l_$r));
    }
    @end
  }
  @each r in rows
  if (packed_$r < row_count) {
    statistics[statistics_at_$r] = vec2f(m_$r, l_$r);
  }
  @end
}
`;

const END = `
@if lse
for (var first_row = 0u; first_row < row_count; first_row += $tileRows) {
  $own
  @each r in rows
  if (packed_$r < row_count) {
    let state_$r = statistics[lse_place(token_$r, head_$r)];
    lse[lse_place(token_$r, head_$r)] = log_sum_exp(state_$r.x, state_$r.y);
  }
  @end
}
@end
`;

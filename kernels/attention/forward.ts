/**
 * Tiled forward attention (FlashAttention-2, Alg. 1; packed query groups).
 *
 * ```text
 * S = scale Q K^T     P = exp(S - m)     O = P V / l     L = m + ln l
 * query, output [tokens, heads, dim]   key, value [tokens | blocks, kvHeads, dim]
 * ```
 *
 * Lanes go along packed query rows, `rowsPerLane` of them each; everything
 * else that a step reads has an index that is uniform over the workgroup, so
 * one load of a key or value serves `lanes * rowsPerLane` rows. A step takes
 * `keysPerStep` keys: scores stay in registers, the accumulator is in
 * workgroup memory and is read and written once a step.
 *
 * Workgroup memory: `lanes * rowsPerLane * accumulatorVecs * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { dropoutRows } from "../fragments/dropout.ts";
import { nonFinite } from "../fragments/online_softmax.ts";
import { entryPoint } from "../fragments/schedule.ts";
import { wgsl } from "../wgsl.ts";
import { accumulatorOf, addTile, nonFiniteStep } from "./add_tile.ts";
import { beginMaxima, blockMaxima, noteMaxima } from "./block_maxima.ts";
import { rowPlace } from "./epilogue.ts";
import { placeRows } from "./query_rows.ts";
import {
  dropWeights,
  localRow,
  ownRows,
  type RegisterTile,
  scoreTile,
  softmaxStep,
  tileRows,
} from "./score_tile.ts";
import {
  attentionFragments,
  type AttentionSpec,
  beginTile,
  eachOwnStep,
  labelOf,
} from "./spec.ts";

/**
 * The register tile of the forward kernel.
 *
 * @category Kernels
 */
export interface ForwardTile extends RegisterTile {
  /** Room in the accumulator, in vec4s a row: at least `ceil(valueDim / 4)`. */
  readonly accumulatorVecs: number;
}

/**
 * What the forward kernel's source depends on.
 *
 * @category Kernels
 */
export interface ForwardSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: ForwardTile;
  /** Whether each row's largest score in each block of keys is written, too. */
  readonly blockMaxima?: boolean | undefined;
}

/** Bytes of workgroup memory that a tile takes. */
export function forwardWorkgroupBytes(tile: ForwardTile): number {
  return tileRows(tile) * tile.accumulatorVecs * 16;
}

/**
 * The forward kernel.
 *
 * @example Its WGSL for 64 rows a workgroup, 16 keys a step
 * ```ts
 * import {
 *   type AttentionSpec,
 *   forwardKernel,
 *   rowFormat,
 * } from "@quire/attention/kernels";
 * import { assert, assertEquals } from "@std/assert";
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
 * const { label, code, bindings } = forwardKernel({
 *   ...spec,
 *   tile: { lanes: 8, rowsPerLane: 8, keysPerStep: 16, accumulatorVecs: 16 },
 * });
 * assertEquals(label, "attention.forward/contiguous.f32.64x16");
 * assertEquals(bindings.map(({ name }) => name), [
 *   "query",
 *   "schedule",
 *   "key",
 *   "value",
 *   "output",
 *   "params",
 * ]);
 * assert(code.includes("@compute @workgroup_size(8)"));
 * ```
 *
 * @category Kernels
 */
export function forwardKernel(spec: ForwardSpec): KernelSource {
  const { tile } = spec;
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = tile;
  const dropout = spec.dropout ?? false;
  const { blockMaxima: notes = false } = spec;
  const step = wgsl(STEP, {
    rows,
    keys,
    scores: scoreTile(spec),
    noted: notes,
    note: notes ? noteMaxima(tile, spec) : "",
    softmax: softmaxStep(tile),
    addGuarded: wgsl(ADD_GUARDED, { rows, keys, dropout }),
    dropWeights: dropWeights(spec),
    add: addTile({
      own: rows,
      step: keys,
      vecs: "params.value_vecs",
      row: ["v", "load_value(value_$j, vec)"],
      weights: "s",
      carried: (old) => `carry_values(${old}, alpha_$r, x_$r)`,
    }),
  });
  const store = Array.from({ length: rows }, (_, r) => {
    const { row, stats } = rowPlace(spec, r, localRow(tile, r));
    return wgsl(STORE, { r, place: row, stats });
  });
  return kernelOf({
    label: labelOf("forward", `${tileRows(tile)}x${keys}`, spec) +
      (notes ? ".block_maxima" : ""),
    fragments: [
      ...attentionFragments(spec),
      ...notes ? [blockMaxima(spec)] : [],
      nonFinite,
      {
        code: [
          accumulatorOf(tile, tile.accumulatorVecs),
          nonFiniteStep(keys),
        ].join("\n\n"),
      },
    ],
    main: entryPoint(
      lanes,
      [
        beginTile(spec),
        ownRows(tile, spec.queries),
        placeRows(rows, spec),
        ...dropout ? [dropoutRows(spec, rows)] : [],
        wgsl(BEGIN, { rows }),
        ...notes ? [beginMaxima(tile)] : [],
        eachOwnStep(spec, keys, step, {
          before: "var cursor = seek(sequence, run.first_key);",
        }),
        ...store,
      ].filter((part) => part !== "").join("\n\n"),
      spec,
    ),
  });
}

const BEGIN = `
@each r in rows
var m_$r = SENTINEL;
var l_$r = 0.0;
@end
for (var vec = 0u; vec < params.value_vecs; vec++) {
  @each r in rows
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
}
`;

const STEP = `
$scores
@if noted
$note
@end
$softmax
$dropWeights
if (masked && step_has_non_finite(sequence, first_key, kv_head)) {
  $addGuarded
} else {
  $add
}
`;

// A masked key's value may be NaN or Inf, whose product with a weight of 0 is
// not 0. Only steps that have such a value take this slow way, which scores
// its keys once more, one by one, rather than keep an array of weights.
const ADD_GUARDED = `
for (var vec = 0u; vec < params.value_vecs; vec++) {
  @each r in rows
  accumulator[own($r, vec, lane)] *= alpha_$r;
  @end
}
for (var j = 0u; j < $keys; j++) {
  let guarded_cursor = seek(sequence, min(first_key + j, sequence.key_count - 1u));
  let guarded_key = key_place(guarded_cursor, kv_head);
  let guarded_value = value_place(guarded_cursor, kv_head);
  let key = i32(first_key + j);
  @each r in rows
  var guarded_$r = 0.0;
  @end
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let k = load_key(guarded_key, vec);
    @each r in rows
    guarded_$r = dot4(guarded_$r, load_query(query_at_$r, vec), k);
    @end
  }
  @each r in rows
  @if dropout
  let p_$r = weight(modify(guarded_$r * params.scale, batch_$r, i32(head_$r), position_$r, key), m_$r)
    * kept(extractBits(dropped_$r, j, 1u) != 0u);
  @else
  let p_$r = weight(modify(guarded_$r * params.scale, batch_$r, i32(head_$r), position_$r, key), m_$r);
  @end
  let seen_$r = extractBits(hidden_$r, j, 1u) == 0u;
  @end
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    let v = load_value(guarded_value, vec);
    @each r in rows
    if (seen_$r) {
      accumulator[own($r, vec, lane)] = fma(vec4f(p_$r), v, accumulator[own($r, vec, lane)]);
    }
    @end
  }
}
`;

const STORE = `
if (packed_$r < row_count) {
  let out_$r = $place;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    write_row(out_$r, vec, accumulator[own($r, vec, lane)], l_$r);
  }
  write_stats($stats, m_$r, l_$r);
}
`;

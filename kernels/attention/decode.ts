/**
 * Decode attention: few query rows, many keys (Flash-Decoding's mapping).
 *
 * The same online softmax as `forward`, with lanes along keys: each lane
 * scores four neighbouring keys at a time against all rows of the tile, the
 * weights pass through workgroup memory, and for the values lanes go along
 * columns, several keys at a time where there are more lanes than columns.
 * Splits of the keys are reduced by different workgroups and merged.
 *
 * Workgroup memory: {@linkcode decodeWorkgroupBytes}.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { dotRows } from "../fragments/dot.ts";
import { dropoutRows } from "../fragments/dropout.ts";
import { entryPoint } from "../fragments/schedule.ts";
import { wgsl } from "../wgsl.ts";
import { rowPlace } from "./epilogue.ts";
import { nameRows, placeRows } from "./query_rows.ts";
import {
  attentionFragments,
  type AttentionSpec,
  beginTile,
  eachOwnStep,
  labelOf,
} from "./spec.ts";

/** Neighbouring keys that a lane scores at once: one vec4 of weights. */
const KEYS = 4;

/**
 * The register tile of the decode kernel.
 *
 * @category Kernels
 */
export interface DecodeTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows of a work tile, all of them held by every lane. */
  readonly rows: number;
  /** Keys that each lane scores in a step; a multiple of 4. */
  readonly keysPerLane: number;
  /** Lanes along the value's columns; a divisor of `lanes`. */
  readonly columnLanes: number;
  /** vec4 columns that a lane owns: `columnLanes` of them cover the value. */
  readonly columnsPerLane: number;
}

/**
 * What the decode kernel's source depends on.
 *
 * @category Kernels
 */
export interface DecodeSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: DecodeTile;
}

/** Keys of one step of a workgroup. */
export function decodeStep({ lanes, keysPerLane }: DecodeTile): number {
  return lanes * keysPerLane;
}

/**
 * Bytes of workgroup memory that a tile takes: weights and one value a lane,
 * and the last reduction over lanes that share columns.
 */
export function decodeWorkgroupBytes(tile: DecodeTile): number {
  const { lanes, rows, columnLanes, columnsPerLane } = tile;
  const reduction = lanes === columnLanes ? 0 : lanes * rows * columnsPerLane;
  return 4 * rows * (decodeStep(tile) + lanes) + 16 * reduction;
}

/**
 * The decode kernel.
 *
 * @example Two rows a workgroup, 32 keys a step
 * ```ts
 * import {
 *   type AttentionSpec,
 *   decodeKernel,
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
 * const { label } = decodeKernel({
 *   ...spec,
 *   tile: { lanes: 8, rows: 2, keysPerLane: 4, columnLanes: 8, columnsPerLane: 2 },
 * });
 * assertEquals(label, "attention.decode/contiguous.f32.2x32");
 * ```
 *
 * @category Kernels
 */
export function decodeKernel(spec: DecodeSpec): KernelSource {
  const { lanes, rows, columnLanes, columnsPerLane: columns } = spec.tile;
  const step = decodeStep(spec.tile);
  const keyLanes = lanes / columnLanes;
  const scope = {
    lanes,
    rows,
    columns,
    columnLanes,
    keyLanes,
    step,
    // A group is KEYS neighbouring keys: one vec4 of weights.
    groups: step / KEYS,
    keys: KEYS,
    lanesShare: keyLanes > 1,
    dropout: spec.dropout ?? false,
  };
  const stepCode = wgsl(STEP, {
    ...scope,
    keyPlaces: neighbours(spec, {
      name: "key",
      first: "min(own_key, sequence.key_count - 1u)",
      more: (j) => `own_key + ${j}u < sequence.key_count`,
    }),
    dots: dotRows(rows, KEYS),
    addGuarded: wgsl(ADD_GUARDED, scope),
    add: wgsl(ADD, {
      ...scope,
      valuePlaces: neighbours(spec, {
        name: "value",
        first: `first_key + i * ${KEYS}u`,
        more: (j) => `i * ${KEYS}u + ${j}u < count`,
      }),
    }),
  });
  const store = Array.from({ length: rows }, (_, r) => {
    const { row, stats } = rowPlace(spec, r, `${r}u`);
    return wgsl(STORE_ROW, { ...scope, r, place: row, stats });
  });
  return kernelOf({
    label: labelOf("decode", `${rows}x${step}`, spec),
    fragments: [
      ...attentionFragments(spec),
      { code: wgsl(DECLARATIONS, scope) },
    ],
    main: entryPoint(
      lanes,
      [
        beginTile(spec),
        wgsl(OWN_COLUMNS, scope),
        nameRows(Array.from({ length: rows }, (_, r) => `${r}u`), spec.queries),
        placeRows(rows, spec),
        ...spec.dropout ? [dropoutRows(spec, rows)] : [],
        wgsl(BEGIN, scope),
        eachOwnStep(spec, step, stepCode),
        wgsl(STORE, { ...scope, store: store.join("\n") }),
      ].filter((part) => part !== "").join("\n\n"),
      spec,
    ),
  });
}

/**
 * Places of neighbouring keys or values, `key_0` and so on; the first is that
 * of key `first`. Where there are no `more`, the last one there is stands for
 * those that follow.
 */
function neighbours(
  { quads }: AttentionSpec,
  { name, first, more }: {
    readonly name: "key" | "value";
    readonly first: string;
    readonly more: (j: number) => string;
  },
): string {
  const next = Array.from(
    { length: KEYS - 1 },
    (_, j) => wgsl(NEXT, { name, quads, j: j + 1, last: j, more: more(j + 1) }),
  );
  return [
    `var ${name}_cursor = seek(sequence, ${first});`,
    `let ${name}_0 = ${name}_place(${name}_cursor, kv_head);`,
    ...next,
  ].join("\n");
}

const NEXT = `
@if quads
let $name_$j = $name_$last + select(0u, params.$name_token_stride, $more);
@else
$name_cursor = advance($name_cursor, $more);
let $name_$j = $name_place($name_cursor, kv_head);
@end
`;

const DECLARATIONS = `
var<workgroup> weights: array<vec4f, $rows * $groups>;
var<workgroup> lane_values: array<f32, $rows * $lanes>;
@if lanesShare
var<workgroup> partials: array<vec4f, $lanes * $rows * $columns>;
@end
`;

const OWN_COLUMNS = `
@if lanesShare
let key_lane = lane / $columnLanes;
let column_lane = lane % $columnLanes;
@else
let key_lane = 0u;
let column_lane = lane;
@end
@each c in columns
let column_$c = min($c * $columnLanes + column_lane, params.value_vecs - 1u);
@end
`;

const BEGIN = `
@each r in rows
var m_$r = SENTINEL;
var l_$r = 0.0;
@each c in columns
var a_$r_$c = vec4f(0.0);
@end
@end
`;

const STEP = `
let count = min($step, end_key - first_key);
@each r in rows
var max_$r = SENTINEL;
@end
for (var i = lane; i < $groups; i += $lanes) {
  let own_key = first_key + i * $keys;
  $keyPlaces
  $dots
  @each r in rows
  var s_$r = vec4f(s_$r_0, s_$r_1, s_$r_2, s_$r_3) * params.scale;
  @end
  for (var j = 0u; j < $keys; j++) {
    let key = i32(own_key + j);
    let in_step = i * $keys + j < count;
    @each r in rows
    s_$r[j] = select(SENTINEL, modify(s_$r[j], batch_$r, i32(head_$r), position_$r, key),
      in_step && (!masked || sees(batch_$r, i32(head_$r), position_$r, key, i32(sequence.key_count))));
    max_$r = max(max_$r, s_$r[j]);
    @end
  }
  @each r in rows
  weights[$r * $groups + i] = s_$r;
  @end
}
@each r in rows
lane_values[$r * $lanes + lane] = max_$r;
@end
workgroupBarrier();
@each r in rows
var all_$r = m_$r;
for (var i = 0u; i < $lanes; i++) {
  all_$r = max(all_$r, lane_values[$r * $lanes + i]);
}
let alpha_$r = rescale(m_$r, all_$r);
m_$r = all_$r;
var sum_$r = 0.0;
@each c in columns
var x_$r_$c = vec4f(0.0);
@end
for (var i = lane; i < $groups; i += $lanes) {
  let s = weights[$r * $groups + i];
  let p = vec4f(weight(s[0], m_$r), weight(s[1], m_$r), weight(s[2], m_$r), weight(s[3], m_$r));
  @if dropout
  var kept_p = p;
  for (var j = 0u; j < $keys; j++) {
    kept_p[j] *= kept(drops(dropout_$r, i32(first_key + i * $keys + j)));
  }
  weights[$r * $groups + i] = kept_p;
  @else
  weights[$r * $groups + i] = p;
  @end
  sum_$r += (p.x + p.y) + (p.z + p.w);
}
l_$r = carry_sum(l_$r, alpha_$r, sum_$r);
@end
workgroupBarrier();
if (masked) {
  $addGuarded
} else {
  $add
}
@each r in rows
@each c in columns
a_$r_$c = carry_values(a_$r_$c, alpha_$r, x_$r_$c);
@end
@end
workgroupBarrier();
`;

const ADD = `
for (var i = key_lane; i * $keys < count; i += $keyLanes) {
  @each r in rows
  let p_$r = weights[$r * $groups + i];
  @end
  $valuePlaces
  @each j in keys
  {
    @each c in columns
    let v_$c = load_value(value_$j, column_$c);
    @each r in rows
    x_$r_$c = fma(vec4f(p_$r[$j]), v_$c, x_$r_$c);
    @end
    @end
  }
  @end
}
`;

// A masked key's value may be NaN, so its term is left out, not added as 0.
// Few steps are masked, so this loop is the short one, not the fast one.
const ADD_GUARDED = `
for (var i = key_lane; i * $keys < count; i += $keyLanes) {
  for (var j = 0u; j < min($keys, count - i * $keys); j++) {
    let at = value_place(seek(sequence, first_key + i * $keys + j), kv_head);
    @each c in columns
    let v_$c = load_value(at, column_$c);
    @end
    @each r in rows
    let p_$r = weights[$r * $groups + i][j];
    @each c in columns
    x_$r_$c = select(fma(vec4f(p_$r), v_$c, x_$r_$c), x_$r_$c, p_$r == 0.0);
    @end
    @end
  }
}
`;

const STORE = `
@if lanesShare
@each r in rows
@each c in columns
partials[($r * $columns + $c) * $lanes + lane] = a_$r_$c;
@end
@end
@end
@each r in rows
lane_values[$r * $lanes + lane] = l_$r;
@end
workgroupBarrier();
if (key_lane == 0u) {
  $store
}
`;

const STORE_ROW = `
if (packed_$r < row_count) {
  var sum = 0.0;
  for (var i = 0u; i < $lanes; i++) {
    sum += lane_values[$r * $lanes + i];
  }
  let out = $place;
  @each c in columns
  if ($c * $columnLanes + column_lane < params.value_vecs) {
    @if lanesShare
    for (var i = 1u; i < $keyLanes; i++) {
      a_$r_$c += partials[($r * $columns + $c) * $lanes + i * $columnLanes + column_lane];
    }
    @end
    write_row(out, $c * $columnLanes + column_lane, a_$r_$c, sum);
  }
  @end
  if (lane == 0u) {
    write_stats($stats, m_$r, sum);
  }
}
`;

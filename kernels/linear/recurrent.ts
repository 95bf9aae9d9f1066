/**
 * Linear attention token by token, by every update rule:
 *
 * ```text
 * h' = diag(exp g_t) h_{t-1};  h_t = h' + k_t u_t^T;  o_t = scale h_t^T q_t
 * u_t = v_t, or of the delta rules b_t (v_t - h'^T k_t)
 * ```
 *
 * with features of queries and keys where there is a feature map, and divided by
 * the sum of weights where that is asked for,
 *
 * for sequences of few tokens (decode), which make no chunk worth its products.
 * A workgroup has 16 columns of a state for all of its rows: 4 lanes along
 * columns, 16 along rows, so that neighbours read what lies side by side. Each
 * lane keeps its part in registers: a state is read once and written once,
 * whatever the number of tokens.
 *
 * @module
 */

import type { DType } from "../../src/core/dtype.ts";
import type { KernelSource } from "../../src/core/kernel.ts";
import { groupEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { dot4 } from "../fragments/dot.ts";
import { wgsl } from "../wgsl.ts";
import { chunks, heads, stateRuns } from "./chunks.ts";
import { decayGates, givenGates } from "./operands/given_gates.ts";
import { featureBlocks, featureRows } from "./operands/features.ts";
import { type GivenStatesSpec, runStates } from "./operands/given_states.ts";
import { loadedTokens, storedTokens } from "./operands/operands.ts";
import { type GateKind, linearLabel, type LinearSpec } from "./spec.ts";

/** Lanes along a state's columns, each of four. */
const COLUMN_LANES = 4;

/** Lanes along a state's rows, each of four at a time. */
const ROW_LANES = 16;

/** Columns of a state that a workgroup has. */
export const RECURRENT_COLUMNS: number = 4 * COLUMN_LANES;

/**
 * What the recurrent kernel's source depends on.
 *
 * @category Kernels
 */
export interface RecurrentSpec
  extends Omit<LinearSpec, "tile">, GivenStatesSpec {
  /** Elements of a query or key row, for which lanes have registers. */
  readonly headDim: number;
  /** The storage type of the log gates, where there are any. */
  readonly decay?: DType | undefined;
  /** The storage type of strengths, of the delta rules. */
  readonly beta?: DType | undefined;
}

/**
 * The recurrent kernel.
 *
 * @example What it binds of a gated delta rule with a pool of states
 * ```ts
 * import { recurrentKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = recurrentKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   headDim: 64,
 *   gate: "head",
 *   decay: "f32",
 *   beta: "f32",
 *   stateFormat: rows,
 *   initial: true,
 *   final: true,
 *   pool: true,
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "query",
 *   "key",
 *   "value",
 *   "output",
 *   "decay",
 *   "beta",
 *   "state_pool",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function recurrentKernel(spec: RecurrentSpec): KernelSource {
  const { gate, decay, beta, initial, final, normalize = false } = spec;
  const features = spec.featureMap === "taylor";
  const rows = features ? featureRows(spec.headDim) : spec.headDim;
  const quads = Math.ceil(rows / (4 * ROW_LANES));
  const delta = beta !== undefined;
  const scope = {
    quads,
    quad: 4,
    rowLanes: ROW_LANES,
    features,
    normalize,
    // Features have the scale in them.
    scale: features ? "1.0" : "params.scale",
    vecs: features ? "params.state_rows / 4u" : "params.head_vecs",
  };
  const queryRows = {
    name: "query",
    format: spec.queryFormat,
    dim: "head_dim",
  } as const;
  const keyRows = {
    name: "key",
    format: spec.keyFormat,
    dim: "head_dim",
  } as const;
  return kernelOf({
    label: linearLabel("recurrent", { ...spec, delta }) +
      `.${quads}` + (initial ? ".initial" : "") + (final ? ".final" : "") +
      (spec.pool ? ".pool" : ""),
    fragments: [
      chunks,
      stateRuns,
      heads,
      ...features
        ? [featureBlocks(queryRows), featureBlocks(keyRows)]
        : [loadedTokens(queryRows), loadedTokens(keyRows)],
      loadedTokens({
        name: "value",
        format: spec.valueFormat,
        dim: "value_dim",
      }),
      storedTokens({
        name: "output",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      ...decay && gate !== "none" ? [kept(gate, decay)] : [],
      ...beta ? [givenGates("beta", beta)] : [],
      runStates(spec),
      ...normalize ? [dot4] : [],
      columnSums,
      {
        uniforms: {
          column_tiles: "u32",
          head_vecs: "u32",
          state_rows: "u32",
          state_vecs: "u32",
          value_vecs: "u32",
          value_dim: "u32",
          ...!features && { scale: "f32" as const },
          ...normalize && { eps: "f32" as const },
        },
      },
    ],
    main: groupEntry(
      COLUMN_LANES * ROW_LANES,
      wgsl(MAIN, {
        columnLanes: COLUMN_LANES,
        begin: wgsl(BEGIN, { ...scope, initial }),
        token: wgsl(TOKEN, { ...scope, gated: decay !== undefined, delta }),
        end: final ? wgsl(END, scope) : "",
      }),
    ),
  });
}

/** `kept_of(at, vec)`: what is left of four rows of a state. */
function kept(gate: Exclude<GateKind, "none">, dtype: DType): Fragment {
  return {
    needs: [decayGates(dtype)],
    code: gate === "head"
      ? wgsl(`
        fn kept_of(at: u32, vec: u32) -> vec4f {
          return vec4f(exp(decay_of(at, 0u)));
        }
      `)
      : wgsl(
        `
        fn kept_of(at: u32, vec: u32) -> vec4f {
          let last = params.state_rows - 1u;
          return exp(vec4f(
            @each c in quad
            decay_of(at, min(4u * vec + $c, last)),
            @end
          ));
        }
      `,
        { quad: 4 },
      ),
  };
}

/**
 * `sum_of(place, lane, value)`: the sum of a column's values over lanes along rows,
 * first to last. Two sums one after the other have places of their own, so one
 * barrier is enough for each.
 */
const columnSums: Fragment = {
  code: wgsl(
    `
    var<workgroup> parts: array<vec4f, $size>;

    fn sum_of(place: u32, lane: u32, value: vec4f) -> vec4f {
      parts[$lanes * place + lane] = value;
      workgroupBarrier();
      var sum = vec4f(0.0);
      for (var r = 0u; r < $rowLanes; r++) {
        sum += parts[$lanes * place + $columnLanes * r + lane % $columnLanes];
      }
      return sum;
    }
    `,
    {
      size: 2 * COLUMN_LANES * ROW_LANES,
      lanes: COLUMN_LANES * ROW_LANES,
      columnLanes: COLUMN_LANES,
      rowLanes: ROW_LANES,
    },
  ),
};

const MAIN = `
let column = group % params.column_tiles * $columnLanes + lane % $columnLanes;
let place = group / params.column_tiles;
let state_head = place % params.state_heads;
let run_index = place / params.state_heads;
if (run_index >= params.run_count) {
  return;
}
let run = run_of(run_index);
let key_head = key_head_of(state_head);
let members = params.heads / params.state_heads;
let row_lane = lane / $columnLanes;
let live = column < params.state_vecs;
var turn = 0u;
$begin
for (var c = 0u; c < run.count; c++) {
  let chunk = chunk_of(run.first + c);
  for (var token = 0u; token < chunk.count; token++) {
    $token
  }
}
$end
`;

const BEGIN = `
@each n in quads
let vec_$n = row_lane + $n * $rowLanes;
@if features
let group_$n = feature_group_of(min(vec_$n, $vecs - 1u));
let weights_$n = feature_weights(group_$n);
@end
@each r in quad
var h_$n_$r = vec4f(0.0);
@end
@if normalize
var sums_$n = vec4f(0.0);
@end
@end
@if normalize
let ones = vec4f(4u * column + vec4u(0u, 1u, 2u, 3u) == vec4u(params.value_dim));
@end
@if initial
if (live) {
  @each n in quads
  @each r in quad
  if (4u * vec_$n + $r < params.state_rows) {
    h_$n_$r = entering_state(run, state_head, 4u * vec_$n + $r, column);
  }
  @end
  @end
}
@if normalize
@each n in quads
@each r in quad
if (4u * vec_$n + $r < params.state_rows) {
  sums_$n[$r] = entering_state(run, state_head, 4u * vec_$n + $r, params.value_dim / 4u)[params.value_dim % 4u];
}
@end
@end
@end
@end
`;

const TOKEN = `
let key_base = key_at(chunk, token, key_head);
@if gated
let gates = decay_at(chunk, token, state_head);
@end
@each n in quads
var k_$n = vec4f(0.0);
if (vec_$n < $vecs) {
  @if features
  k_$n = weights_$n * key_feature(key_base, group_$n);
  @else
  k_$n = load_key(key_base, vec_$n);
  @end
  @if gated
  let kept = kept_of(gates, vec_$n);
  @each r in quad
  h_$n_$r *= kept[$r];
  @end
  @if normalize
  sums_$n *= kept;
  @end
  @end
  @if normalize
  sums_$n += k_$n;
  @end
}
@end
var u = vec4f(0.0);
if (column < params.value_vecs) {
  u = load_value(value_at(chunk, token, state_head), column);
}
@if normalize
u += ones;
@end
@if delta
var part = vec4f(0.0);
@each n in quads
@each r in quad
part = fma(vec4f(k_$n[$r]), h_$n_$r, part);
@end
@end
let strength = f32(beta[beta_at(chunk, token, state_head)]);
u = strength * (u - sum_of(turn % 2u, lane, part));
turn++;
@end
@each n in quads
@each r in quad
h_$n_$r = fma(vec4f(k_$n[$r]), u, h_$n_$r);
@end
@end
for (var member = 0u; member < members; member++) {
  let head = state_head * members + member;
  let query_base = query_at(chunk, token, query_head_of(head));
  var part = vec4f(0.0);
  @if normalize
  var weight = 0.0;
  @end
  @each n in quads
  if (vec_$n < $vecs) {
    @if features
    let q = weights_$n * query_feature(query_base, group_$n);
    @else
    let q = load_query(query_base, vec_$n);
    @end
    @each r in quad
    part = fma(vec4f(q[$r]), h_$n_$r, part);
    @end
    @if normalize
    weight = dot4(weight, q, sums_$n);
    @end
  }
  @end
  let sum = sum_of(turn % 2u, lane, part);
  turn++;
  @if normalize
  let weights = $scale * sum_of(turn % 2u, lane, vec4f(weight));
  turn++;
  let found = $scale * sum / (weights + params.eps);
  @else
  let found = $scale * sum;
  @end
  if (column < params.value_vecs && row_lane == 0u) {
    store_output(output_at(chunk, token, head), column, found);
  }
}
`;

const END = `
if (live) {
  @each n in quads
  @each r in quad
  if (4u * vec_$n + $r < params.state_rows) {
    leave_state(run, state_head, 4u * vec_$n + $r, column, h_$n_$r);
  }
  @end
  @end
}
`;

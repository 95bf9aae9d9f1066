/**
 * From what chunks write and erase by the delta rules to the states that enter
 * them, and to what their tokens write after all:
 *
 * ```text
 * h = the initial state;  for each chunk:
 *   h_in = h;  u = U_v - U_k h_in
 *   h = diag(exp(G_end)) h_in + sum over its tokens s of (exp(G_end - G_s) k_s) u_s^T
 * ```
 *
 * and in reverse from what outputs give back, E, to the gradients of the states
 * that leave chunks, and of values:
 *
 * ```text
 * D = the last state's gradient;  for each chunk from the last:
 *   D_out = D;  w = W_v + W_k D_out
 *   D = diag(exp(G_end)) D_out + E - sum over its tokens t of (exp(G_t) k_t) w_t^T
 * ```
 *
 * A chunk's state depends on the one before through a product of matrices, so
 * there is no scan but this: a workgroup goes along the chunks of a run for 16
 * columns of a state, which it carries in its memory, with just room for 256
 * rows; its lanes share tokens, then the state's rows.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { groupEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads, stateRuns } from "../chunks.ts";
import { type GivenStatesSpec, runStates } from "../operands/given_states.ts";
import { stateBlocks, tokenBlocks } from "../operands/operands.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { gateSums, gateWeights } from "../operands/weights.ts";
import { scratchRows } from "../operands/written.ts";

/** Lanes along columns, of 4 each. */
const COLUMN_LANES = 4;

/** Lanes along tokens, and along the state's rows, of 4 each. */
const ROW_LANES = 16;

/** Rows of a state at most. */
const MOST_ROWS = 256;

/** Columns of a state that a workgroup has. */
export const DELTA_COLUMNS: number = 4 * COLUMN_LANES;

/**
 * What the source of the delta rules' scan depends on.
 *
 * @category Kernels
 */
export interface DeltaScanSpec
  extends Omit<LinearSpec, "tile">, GivenStatesSpec {
  /** Whether runs begin with kept states, or end in them. */
  readonly kept: boolean;
  /** Whether it goes back, with gradients; `false` by default. */
  readonly reverse?: boolean;
}

/**
 * The scan over chunks of the delta rules.
 *
 * @example What it binds
 * ```ts
 * import { deltaScanKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = deltaScanKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "head",
 *   stateFormat: rows,
 *   initial: true,
 *   final: true,
 *   pool: false,
 *   kept: false,
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "states",
 *   "key",
 *   "written",
 *   "erased",
 *   "gates",
 *   "initial_state",
 *   "final_state",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function deltaScanKernel(spec: DeltaScanSpec): KernelSource {
  const { gate, initial, final, pool, kept, reverse = false } = spec;
  const gated = gate !== "none";
  const weights = reverse ? "from_start" : "to_end";
  const key = "key_block(chunk, key_head, token, row / 4u)";
  const traits = Object.entries({ initial, final, pool, kept, reverse })
    .filter(([, is]) => is).map(([name]) => `.${name}`);
  return kernelOf({
    label: linearLabel("delta_scan", spec) + traits.join(""),
    fragments: [
      chunks,
      stateRuns,
      heads,
      stateBlocks("read_write"),
      tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      scratchRows({
        name: "written",
        vecs: "value_vecs",
        access: "read_write",
      }),
      scratchRows({ name: "erased", vecs: "head_vecs", access: "read" }),
      ...gated ? [gateSums(gate), gateWeights(gate, weights)] : [],
      runStates(spec, { kept: kept ? "kept_states" : undefined, reverse }),
      {
        uniforms: { column_tiles: "u32" },
        code: `var<workgroup> carried: array<vec4f, ${
          MOST_ROWS * COLUMN_LANES
        }>;`,
      },
    ],
    main: groupEntry(
      COLUMN_LANES * ROW_LANES,
      wgsl(SCAN, {
        columnLanes: COLUMN_LANES,
        step: 4 * ROW_LANES,
        quad: 4,
        gated,
        reverse,
        // What is erased is taken away forwards, what is written backwards.
        sign: reverse ? "1.0" : "-1.0",
        other: reverse ? "-1.0" : "1.0",
        key: gated
          ? `weighted(${key}, ${weights}(chunk, state_head, token, row / 4u))`
          : key,
      }),
    ),
  });
}

const SCAN = `
let column_tile = group % params.column_tiles;
let place = group / params.column_tiles;
let state_head = place % params.state_heads;
let run_index = place / params.state_heads;
if (run_index >= params.run_count) {
  return;
}
let run = run_of(run_index);
let key_head = key_head_of(state_head);
let own_column = lane % $columnLanes;
let vec = column_tile * $columnLanes + own_column;
let first_row = 4u * (lane / $columnLanes);
// Lanes past the last column take part in barriers alone.
let rows = select(0u, params.state_rows, vec < params.value_vecs);
for (var row = first_row; row < rows; row += $step) {
  @each r in quad
  if (row + $r < params.state_rows) {
    carried[(row + $r) * $columnLanes + own_column] = entering_state(run, state_head, row + $r, vec);
  }
  @end
}
for (var c = 0u; c < run.count; c++) {
  @if reverse
  let chunk_index = run.first + run.count - 1u - c;
  @else
  let chunk_index = run.first + c;
  @end
  let chunk = chunk_of(chunk_index);
  workgroupBarrier();
  let tokens = select(0u, chunk.count, vec < params.value_vecs);
  for (var token = first_row; token < tokens; token += $step) {
    let own = written_block(chunk, state_head, token, vec);
    @each r in quad
    var u_$r = own[$r];
    @end
    for (var row = 0u; row < params.state_rows; row += 4u) {
      let erased = transpose(erased_block(chunk, state_head, token, row / 4u));
      @each k in quad
      if (row + $k < params.state_rows) {
        let state = carried[(row + $k) * $columnLanes + own_column];
        @each r in quad
        u_$r = fma(vec4f($sign * erased[$k][$r]), state, u_$r);
        @end
      }
      @end
    }
    @each r in quad
    if (token + $r < chunk.count) {
      written[written_at(chunk, token + $r, state_head) + vec] = u_$r;
    }
    @end
  }
  storageBarrier();
  workgroupBarrier();
  for (var row = first_row; row < rows; row += $step) {
    @if gated
    let kept = exp(gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u));
    @end
    @if reverse
    let given = state_block(chunk_index, state_head, row, vec);
    @end
    @each r in quad
    var next_$r = vec4f(0.0);
    if (row + $r < params.state_rows) {
      next_$r = carried[(row + $r) * $columnLanes + own_column];
      states[state_at(chunk_index, state_head, row + $r) + vec] = next_$r;
      @if reverse
      @if gated
      next_$r = fma(vec4f(kept[$r]), next_$r, given[$r]);
      @else
      next_$r += given[$r];
      @end
      @else
      @if gated
      next_$r *= kept[$r];
      @end
      @end
    }
    @end
    for (var token = 0u; token < chunk.count; token += 4u) {
      let key = $key;
      let u = written_block(chunk, state_head, token, vec);
      @each k in quad
      @each r in quad
      next_$r = fma(vec4f($other * key[$k][$r]), u[$k], next_$r);
      @end
      @end
    }
    @each r in quad
    if (row + $r < params.state_rows) {
      carried[(row + $r) * $columnLanes + own_column] = next_$r;
    }
    @end
  }
}
for (var row = first_row; row < rows; row += $step) {
  @each r in quad
  if (row + $r < params.state_rows) {
    leave_state(run, state_head, row + $r, vec, carried[(row + $r) * $columnLanes + own_column]);
  }
  @end
}
`;

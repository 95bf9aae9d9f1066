/**
 * Gradients of the states that leave chunks, by the delta rules, and with them
 * those of values:
 *
 * ```text
 * D = the last state's gradient;  for each chunk from the last: D_out = D
 *   w = W_v + W_k D
 *   D = diag(exp(G_end)) D + E - sum over its tokens t of (exp(G_t) k_t) w_t^T
 * ```
 *
 * with what outputs add, E, where D_out is to be. As forward's scan, a workgroup
 * goes along a run for 16 columns of a state; D, of which the place is taken, is
 * in workgroup memory, and has just room for 256 rows.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads, stateRuns } from "../chunks.ts";
import type { DeltaScanSpec } from "../delta/scan.ts";
import { runStates } from "../operands/given_states.ts";
import { stateBlocks, tokenBlocks } from "../operands/operands.ts";
import { linearLabel } from "../spec.ts";
import { gateSums, gateWeights } from "../operands/weights.ts";
import { scratchRows } from "../operands/written.ts";

/** Lanes along columns, of 4 each. */
const COLUMN_LANES = 4;

/** Lanes along tokens, and along the state's rows, of 4 each. */
const ROW_LANES = 16;

/** Rows of a state at most. */
const MOST_ROWS = 256;

/**
 * The scan over chunks of the delta rules' gradients.
 *
 * @example What it binds
 * ```ts
 * import { deltaGradientScanKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = deltaGradientScanKernel({
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
export function deltaGradientScanKernel(spec: DeltaScanSpec): KernelSource {
  const { gate, initial, final, kept } = spec;
  const gated = gate !== "none";
  const traits = Object.entries({ initial, final, kept })
    .filter(([, is]) => is).map(([name]) => `.${name}`);
  return kernelOf({
    label: linearLabel("backward.delta_scan", spec) + traits.join(""),
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
      ...gated ? [gateSums(gate), gateWeights(gate, "from_start")] : [],
      runStates(spec, {
        kept: kept ? "kept_states" : undefined,
        reverse: true,
      }),
      {
        uniforms: { column_tiles: "u32" },
        code: `var<workgroup> gradient: array<vec4f, ${
          MOST_ROWS * COLUMN_LANES
        }>;`,
      },
    ],
    main: wgsl(SCAN, {
      lanes: COLUMN_LANES * ROW_LANES,
      columnLanes: COLUMN_LANES,
      step: 4 * ROW_LANES,
      quad: 4,
      gated,
      key: gated
        ? "weighted(key_block(chunk, key_head, token, row / 4u), from_start(chunk, state_head, token, row / 4u))"
        : "key_block(chunk, key_head, token, row / 4u)",
    }),
  });
}

const SCAN = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
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
      gradient[(row + $r) * $columnLanes + own_column] = entering_state(run, state_head, row + $r, vec);
    }
    @end
  }
  for (var c = 0u; c < run.count; c++) {
    let chunk_index = run.first + run.count - 1u - c;
    let chunk = chunk_of(chunk_index);
    workgroupBarrier();
    let tokens = select(0u, chunk.count, vec < params.value_vecs);
    for (var token = first_row; token < tokens; token += $step) {
      let own = written_block(chunk, state_head, token, vec);
      @each r in quad
      var w_$r = own[$r];
      @end
      for (var row = 0u; row < params.state_rows; row += 4u) {
        let pushing = transpose(erased_block(chunk, state_head, token, row / 4u));
        @each k in quad
        if (row + $k < params.state_rows) {
          let leaving = gradient[(row + $k) * $columnLanes + own_column];
          @each r in quad
          w_$r = fma(vec4f(pushing[$k][$r]), leaving, w_$r);
          @end
        }
        @end
      }
      @each r in quad
      if (token + $r < chunk.count) {
        written[written_at(chunk, token + $r, state_head) + vec] = w_$r;
      }
      @end
    }
    storageBarrier();
    workgroupBarrier();
    for (var row = first_row; row < rows; row += $step) {
      let added = state_block(chunk_index, state_head, row, vec);
      @if gated
      let kept = exp(gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u));
      @end
      @each r in quad
      var d_$r = added[$r];
      if (row + $r < params.state_rows) {
        let leaving = gradient[(row + $r) * $columnLanes + own_column];
        states[state_at(chunk_index, state_head, row + $r) + vec] = leaving;
        @if gated
        d_$r = fma(vec4f(kept[$r]), leaving, d_$r);
        @else
        d_$r += leaving;
        @end
      }
      @end
      for (var token = 0u; token < chunk.count; token += 4u) {
        let key = $key;
        let w = written_block(chunk, state_head, token, vec);
        @each k in quad
        @each r in quad
        d_$r = fma(vec4f(-key[$k][$r]), w[$k], d_$r);
        @end
        @end
      }
      @each r in quad
      if (row + $r < params.state_rows) {
        gradient[(row + $r) * $columnLanes + own_column] = d_$r;
      }
      @end
    }
  }
  for (var row = first_row; row < rows; row += $step) {
    @each r in quad
    if (row + $r < params.state_rows) {
      leave_state(run, state_head, row + $r, vec, gradient[(row + $r) * $columnLanes + own_column]);
    }
    @end
  }
}
`;

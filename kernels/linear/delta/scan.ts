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
 * A chunk's state depends on the one before through a product of matrices, so
 * there is no scan but this: a workgroup goes along the chunks of a sequence for
 * 16 columns of a state, and its lanes share tokens, then the state's rows. What
 * they hand each other lies in the buffers in which it is wanted anyway.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
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
  const { gate, initial, final, pool, kept } = spec;
  const gated = gate !== "none";
  const traits = Object.entries({ initial, final, pool, kept })
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
      ...gated ? [gateSums(gate), gateWeights(gate, "to_end")] : [],
      runStates(spec, kept ? { kept: "kept_states" } : {}),
      { uniforms: { column_tiles: "u32" } },
    ],
    main: wgsl(SCAN, {
      lanes: COLUMN_LANES * ROW_LANES,
      columnLanes: COLUMN_LANES,
      step: 4 * ROW_LANES,
      quad: 4,
      gated,
      key: gated
        ? "weighted(key_block(chunk, key_head, token, row / 4u), to_end(chunk, state_head, token, row / 4u))"
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
  let vec = column_tile * $columnLanes + lane % $columnLanes;
  let first_row = 4u * (lane / $columnLanes);
  // Lanes past the last column take part in barriers alone.
  let rows = select(0u, params.state_rows, vec < params.value_vecs);
  for (var row = first_row; row < rows; row += $step) {
    @each r in quad
    if (row + $r < params.state_rows) {
      let state = entering_state(run, state_head, row + $r, vec);
      if (run.count > 0u) {
        states[state_at(run.first, state_head, row + $r) + vec] = state;
      } else {
        leave_state(run, state_head, row + $r, vec, state);
      }
    }
    @end
  }
  for (var c = 0u; c < run.count; c++) {
    let chunk_index = run.first + c;
    let chunk = chunk_of(chunk_index);
    storageBarrier();
    let tokens = select(0u, chunk.count, vec < params.value_vecs);
    for (var token = first_row; token < tokens; token += $step) {
      let own = written_block(chunk, state_head, token, vec);
      @each r in quad
      var u_$r = own[$r];
      @end
      for (var row = 0u; row < params.state_rows; row += 4u) {
        let erased = transpose(erased_block(chunk, state_head, token, row / 4u));
        let state = state_block(chunk_index, state_head, row, vec);
        @each k in quad
        @each r in quad
        u_$r = fma(vec4f(-erased[$k][$r]), state[$k], u_$r);
        @end
        @end
      }
      @each r in quad
      if (token + $r < chunk.count) {
        written[written_at(chunk, token + $r, state_head) + vec] = u_$r;
      }
      @end
    }
    storageBarrier();
    let more = c + 1u < run.count;
    for (var row = first_row; row < rows; row += $step) {
      let state = state_block(chunk_index, state_head, row, vec);
      @if gated
      let kept = exp(gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u));
      @end
      @each r in quad
      @if gated
      var h_$r = kept[$r] * state[$r];
      @else
      var h_$r = state[$r];
      @end
      @end
      for (var token = 0u; token < chunk.count; token += 4u) {
        let key = $key;
        let u = written_block(chunk, state_head, token, vec);
        @each k in quad
        @each r in quad
        h_$r = fma(vec4f(key[$k][$r]), u[$k], h_$r);
        @end
        @end
      }
      @each r in quad
      if (row + $r < params.state_rows) {
        if (more) {
          states[state_at(chunk_index + 1u, state_head, row + $r) + vec] = h_$r;
        } else {
          leave_state(run, state_head, row + $r, vec, h_$r);
        }
      }
      @end
    }
  }
}
`;

/**
 * From what chunks add to the states that enter them:
 *
 * ```text
 * h = the initial state;  for each chunk: h_in = h;  h = diag(exp(G_end)) h + its own
 * ```
 *
 * in place, and the state that the sequence ends with. One invocation goes along
 * the chunks of a sequence for four elements of a state.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import { chunks, NO_STATE, stateSequences } from "./chunks.ts";
import { givenStates, type GivenStatesSpec } from "./given_states.ts";
import { chunkStates } from "./operands.ts";
import { gateSums } from "./weights.ts";
import type { GateKind } from "./spec.ts";

/** Invocations of a workgroup. */
export const SCAN_LANES = 64;

/**
 * What the scan's source depends on.
 *
 * @category Kernels
 */
export interface ScanSpec extends GivenStatesSpec {
  /** What gates are for. */
  readonly gate: GateKind;
  /** Whether it goes from the last chunk to the first, as gradients do. */
  readonly reverse?: boolean;
}

/**
 * The scan over chunks.
 *
 * @example What it binds
 * ```ts
 * import { rowFormat, scanKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = scanKernel({
 *   gate: "none",
 *   stateFormat: rowFormat("f32", 64),
 *   initial: true,
 *   final: true,
 *   pool: true,
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "states",
 *   "state_pool",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function scanKernel(spec: ScanSpec): KernelSource {
  const { gate, initial, final, reverse = false } = spec;
  return kernelOf({
    label: `linear.scan/${gate}` + (initial ? ".initial" : "") +
      (final ? ".final" : "") + (spec.pool ? ".pool" : "") +
      (reverse ? ".reverse" : ""),
    fragments: [
      chunks,
      stateSequences,
      chunkStates("read_write"),
      ...gate === "none" ? [] : [gateSums(gate)],
      ...givenStates(spec),
    ],
    main: wgsl(SCAN, {
      lanes: SCAN_LANES,
      initial,
      final,
      reverse,
      gated: gate !== "none",
      none: `${NO_STATE}u`,
    }),
  });
}

const SCAN = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * $lanes + lane;
  let vec = index % params.value_vecs;
  let row = index / params.value_vecs % params.state_rows;
  let place = index / (params.value_vecs * params.state_rows);
  let state_head = place % params.state_heads;
  let sequence_index = place / params.state_heads;
  if (sequence_index >= params.sequence_count) {
    return;
  }
  let sequence = sequence_of(sequence_index);
  var state = vec4f(0.0);
  @if initial
  if (sequence.initial_slot != $none) {
    state = load_initial(given_state_at(sequence.initial_slot, state_head, row), vec);
  }
  @end
  for (var c = 0u; c < sequence.chunk_count; c++) {
    @if reverse
    let chunk_index = sequence.first_chunk + sequence.chunk_count - 1u - c;
    @else
    let chunk_index = sequence.first_chunk + c;
    @end
    let at = state_at(chunk_index, state_head, row) + vec;
    let own = states[at];
    states[at] = state;
    @if gated
    let chunk = chunk_of(chunk_index);
    let end = gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u];
    state = fma(vec4f(exp(end)), state, own);
    @else
    state += own;
    @end
  }
  @if final
  if (sequence.final_slot != $none) {
    store_final(given_state_at(sequence.final_slot, state_head, row), vec, state);
  }
  @end
}
`;

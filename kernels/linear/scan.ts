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
import { type Fragment, kernelOf } from "../fragment.ts";
import { loadRow, type RowFormat, storeRow } from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";
import { chunks, NO_STATE, stateSequences } from "./chunks.ts";
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
export interface ScanSpec {
  /** What gates are for. */
  readonly gate: GateKind;
  /** The format of a state's rows, f32. */
  readonly stateFormat: RowFormat;
  /** Whether sequences begin with a state. */
  readonly initial: boolean;
  /** Whether the states that they end with are written. */
  readonly final: boolean;
  /** Whether both are in one buffer. */
  readonly pool: boolean;
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
      ...initial ? [initialStates(spec)] : [],
      ...final ? [finalStates(spec)] : [],
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

/** The binding of states of the caller's. */
function stateBinding(
  name: string,
  { vector }: RowFormat,
  access: "read" | "read_write",
) {
  return { name, type: vector ? "array<vec4<f32>>" : "array<f32>", access };
}

/** Where a row of a caller's state is. */
const statePlaces: Fragment = {
  uniforms: { state_stride: "u32" },
  code: wgsl(`
    fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
      return ((slot * params.state_heads + state_head) * params.state_rows + row) * params.state_stride;
    }
  `),
};

function initialStates({ stateFormat: format, pool }: ScanSpec): Fragment {
  return {
    needs: [
      statePlaces,
      loadRow({
        name: "load_initial",
        bindings: [
          pool
            ? stateBinding("state_pool", format, "read_write")
            : stateBinding("initial_state", format, "read"),
        ],
        format,
        dim: "value_dim",
      }),
    ],
  };
}

function finalStates({ stateFormat: format, pool }: ScanSpec): Fragment {
  return {
    needs: [
      statePlaces,
      storeRow({
        name: "store_final",
        bindings: [
          stateBinding(
            pool ? "state_pool" : "final_state",
            format,
            "read_write",
          ),
        ],
        format,
        dim: "value_dim",
      }),
    ],
  };
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

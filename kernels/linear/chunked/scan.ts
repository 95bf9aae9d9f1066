/**
 * From what chunks add to the states that enter them:
 *
 * ```text
 * h = the initial state;  for each chunk: h_in = h;  h = diag(exp(G_end)) h + its own
 * ```
 *
 * in place, and the state at the end. One invocation goes along a run of chunks
 * for four elements of a state.
 *
 * A long sequence is several runs, blocks of chunks, and three scans: what each
 * block adds (`reduce`), the states that enter blocks (the same scan with blocks
 * for chunks), and from these those that enter chunks. No workgroup waits for
 * another.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { type Fragment, kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, stateRuns } from "../chunks.ts";
import { type GivenStatesSpec, runStates } from "../operands/given_states.ts";
import { chunkStates } from "../operands/operands.ts";
import type { GateKind } from "../spec.ts";
import { gateSums } from "../operands/weights.ts";

/** Invocations of a workgroup. */
export const SCAN_LANES = 64;

/**
 * What a scan's source depends on.
 *
 * @category Kernels
 */
export interface ScanSpec extends GivenStatesSpec {
  /** What gates are for. */
  readonly gate: GateKind;
  /** What runs consist of. */
  readonly items: "chunks" | "blocks";
  /**
   * Whether only the ends of runs are wanted, with the sums of their gates, and
   * not the states that enter their items.
   */
  readonly reduce: boolean;
  /** Whether runs begin with kept states, or end in them. */
  readonly kept: boolean;
  /** Whether runs are gone along from their ends to where they begin. */
  readonly reverse?: boolean;
}

/**
 * A scan; one invocation four elements of a run's state.
 *
 * @example What it binds
 * ```ts
 * import { rowFormat, scanKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = scanKernel({
 *   gate: "none",
 *   items: "chunks",
 *   reduce: false,
 *   stateFormat: rowFormat("f32", 64),
 *   initial: true,
 *   final: true,
 *   pool: true,
 *   kept: false,
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
  const { gate, items, reduce, initial, final, pool, kept, reverse = false } =
    spec;
  const gated = gate !== "none";
  const taylor = spec.featureMap === "taylor";
  const traits = Object.entries({
    reduce,
    initial,
    final,
    pool,
    kept,
    taylor,
    reverse,
  })
    .filter(([, is]) => is).map(([name]) => `.${name}`);
  return kernelOf({
    label: `linear.scan/${items}.${gate}${traits.join("")}`,
    fragments: [
      chunks,
      stateRuns,
      chunkStates("read_write"),
      ...gated ? [gateSums(gate)] : [],
      ...gated && reduce ? [blockGates] : [],
      runStates(spec, {
        kept: kept ? items === "chunks" ? "kept_states" : "states" : undefined,
        reverse,
      }),
    ],
    main: invocationEntry(
      SCAN_LANES,
      wgsl(SCAN, { gated, reduce, reverse, blocks: items === "blocks" }),
    ),
  });
}

/** Sums of gates of blocks, laid out as those of chunks' tokens. */
const blockGates: Fragment = {
  bindings: [{ name: "block_gates", type: "array<f32>", access: "read_write" }],
  uniforms: { gate_width: "u32" },
};

const SCAN = `
let vec = index % params.state_vecs;
let row = index / params.state_vecs % params.state_rows;
let place = index / (params.state_vecs * params.state_rows);
let state_head = place % params.state_heads;
let run_index = place / params.state_heads;
if (run_index >= params.run_count) {
  return;
}
let run = run_of(run_index);
var state = entering_state(run, state_head, row, vec);
@if gated
var gates_sum = 0.0;
@end
for (var i = 0u; i < run.count; i++) {
  @if reverse
  let item = run.first + run.count - 1u - i;
  @else
  let item = run.first + i;
  @end
  let at = state_at(item, state_head, row) + vec;
  let own = states[at];
  @if not reduce
  states[at] = state;
  @end
  @if gated
  @if blocks
  let end = gate_of(item, state_head, row / 4u)[row % 4u];
  @else
  let chunk = chunk_of(item);
  let end = gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u];
  @end
  gates_sum += end;
  state = fma(vec4f(exp(end)), state, own);
  @else
  state += own;
  @end
}
leave_state(run, state_head, row, vec, state);
@if reduce
@if gated
let channel = row % params.gate_width;
if (vec == 0u && row < params.gate_width) {
  block_gates[(run_index * params.state_heads + state_head) * params.gate_width + channel] = gates_sum;
}
@end
@end
`;

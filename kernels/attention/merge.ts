/**
 * Merges softmax states of the same rows over different key ranges:
 *
 * ```text
 * M = max m_i    l = sum l_i exp(m_i - M)    A = sum A_i exp(m_i - M)    O = A / l
 * ```
 *
 * States are folded in the order of their keys, so the result is repeatable; a
 * single state passes through unchanged, bit for bit.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import type { RowFormat } from "../fragments/rows.ts";
import { entryPoint, MERGE_TILE, STATE, tiles } from "../fragments/schedule.ts";
import { wgsl } from "../wgsl.ts";
import { epilogue, finishedPlace, states } from "./epilogue.ts";

/**
 * What the merge kernel's source depends on.
 *
 * @category Kernels
 */
export interface MergeSpec {
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** Whether a log-sum-exp is written beside the output. */
  readonly lse: boolean;
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** See {@linkcode QuerySpec}. */
  readonly stridedQueries?: boolean | undefined;
}

/**
 * The merge kernel: one workgroup a merge tile and kv head.
 *
 * @example What it binds
 * ```ts
 * import { mergeKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const outputFormat = rowFormat("f32", 64);
 * const { bindings } = mergeKernel({ outputFormat, lse: false, lanes: 8 });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "states",
 *   "schedule",
 *   "output",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function mergeKernel(spec: MergeSpec): KernelSource {
  const { outputFormat, lanes } = spec;
  const [binding] = states.bindings!;
  const { row, stats } = finishedPlace(spec, {
    batch: "sequence.batch",
    token: "token",
    head: "head",
  });
  return kernelOf({
    label: `attention.merge/${outputFormat.dtype}`,
    fragments: [
      { ...states, bindings: [{ ...binding, access: "read" }] },
      tiles(MERGE_TILE),
      { code: STATE.declare("state") },
      epilogue({ ...spec, partial: false }),
      { code: wgsl(STATE_ROW, { words: STATE.words }) },
    ],
    main: entryPoint(lanes, wgsl(MERGE, { lanes, place: row, stats })),
  });
}

const STATE_ROW = `
fn state_row(tile: MergeTile, index: u32, kv_head: u32) -> u32 {
  let state = read_state(tile.states_at + index * $words);
  return state.row + kv_head * state.stride;
}
`;

const MERGE = `
for (var index = lane; index < tile.row_count * params.value_vecs; index += $lanes) {
  let local = index / params.value_vecs;
  let vec = index - local * params.value_vecs;
  let row = tile.first_row + local;
  let query = row / params.group;
  let head = kv_head * params.group + row - query * params.group;
  let token = sequence.query_start + query;

  var maximum = SENTINEL;
  for (var i = 0u; i < tile.state_count; i++) {
    maximum = max(maximum, states[params.stats_at + state_row(tile, i, kv_head) + local].x);
  }
  var sum = 0.0;
  var accumulator = vec4f(0.0);
  for (var i = 0u; i < tile.state_count; i++) {
    let at = state_row(tile, i, kv_head) + local;
    let stats = states[params.stats_at + at];
    let scaling = select(exp(stats.x - maximum), 1.0, stats.x == maximum);
    sum = fma(scaling, stats.y, sum);
    accumulator = fma(vec4f(scaling), states[at * params.value_vecs + vec], accumulator);
  }
  write_row($place, vec, accumulator, sum);
  if (vec == 0u) {
    write_stats($stats, maximum, sum);
  }
}
`;

/**
 * Merges finished attention over other keys into a result, in place:
 *
 * ```text
 * L = max(La, Lb) + ln(exp(La - max) + exp(Lb - max))
 * O = exp(La - L) Oa + exp(Lb - L) Ob
 * ```
 *
 * Rows are (O, LSE) pairs as `attention` returns them (FlashInfer's
 * `merge_state`, flash-attn's combine). `merge` is the same for states that
 * are still unnormalised.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { lseBits } from "../fragments/online_softmax.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/** Invocations of a workgroup. */
export const MERGE_STATES_LANES = 64;

/**
 * What the kernel's source depends on besides the format.
 *
 * @category Kernels
 */
export interface MergeStatesSpec {
  /** Whether the other part's log-sum-exp is `[kvHeads, queries, group]`. */
  readonly byHead?: boolean;
}

/**
 * The in-place merge; one invocation a row.
 *
 * @example What it binds
 * ```ts
 * import { mergeStatesKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = mergeStatesKernel(rowFormat("f16", 64));
 * assertEquals(bindings.map(({ name }) => name), [
 *   "other",
 *   "other_lse",
 *   "lse",
 *   "output",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function mergeStatesKernel(
  format: RowFormat,
  { byHead = false }: MergeStatesSpec = {},
): KernelSource {
  const dim = "value_dim";
  const load = (name: string) =>
    loadRow({ name: `load_${name}`, bindings: [buffer(name)], format, dim });
  const buffer = (name: string) =>
    rowBinding(name, format, name === "output" ? "read_write" : "read");
  return kernelOf({
    label: `attention.merge_states/${format.dtype}${byHead ? ".by_head" : ""}`,
    fragments: [
      load("other"),
      {
        bindings: [
          { name: "other_lse", type: "array<u32>", access: "read" },
          { name: "lse", type: "array<u32>", access: "read_write" },
        ],
      },
      load("output"),
      storeRow({
        name: "store_output",
        bindings: [buffer("output")],
        format,
        dim,
      }),
      lseBits,
      {
        uniforms: {
          rows: "u32",
          value_vecs: "u32",
          value_stride: "u32",
          grid_width: "u32",
          ...(byHead && { heads: "u32", group: "u32" }),
        },
      },
    ],
    main: wgsl(MERGE_STATES, { lanes: MERGE_STATES_LANES, byHead }),
  });
}

const MERGE_STATES = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group_id.y * params.grid_width + group_id.x) * $lanes + lane;
  if (row >= params.rows) {
    return;
  }
  let own_lse = lse_of(lse[row]);
  @if byHead
  let head = row % params.heads;
  let kv_head_rows = params.rows / params.heads * params.group;
  let other_row = head / params.group * kv_head_rows + row / params.heads * params.group + head % params.group;
  let their_lse = lse_of(other_lse[other_row]);
  @else
  let their_lse = lse_of(other_lse[row]);
  @end
  let maximum = max(own_lse, their_lse);
  let own = weight(own_lse, maximum);
  let theirs = weight(their_lse, maximum);
  let sum = own + theirs;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    let at = row * params.value_stride;
    let both = fma(vec4f(theirs), load_other(at, vec), load_output(at, vec) * own);
    store_output(at, vec, finish(both, sum));
  }
  lse[row] = bitcast<u32>(log_sum_exp(maximum, sum));
}
`;

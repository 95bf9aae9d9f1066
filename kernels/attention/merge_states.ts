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
 * A row without keys may come from the host, where its log-sum-exp is
 * -Infinity. WGSL may assume that there is no Inf, so log-sum-exps are read as
 * bits, and that one becomes the sentinel before it is a number.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import {
  loadRow,
  loadTailFragment,
  type RowFormat,
  storageType,
  storeRow,
} from "../fragments/rows.ts";
import { onlineSoftmaxFragment } from "../fragments/online_softmax.ts";
import { declareBindings, declareUniforms, indent, wgsl } from "../wgsl.ts";

/** The merge's uniforms. */
export const MERGE_STATES_PARAMS = {
  rows: "u32",
  value_dim: "u32",
  value_vecs: "u32",
  value_stride: "u32",
  grid_width: "u32",
} as const;

/** Invocations of a workgroup. */
export const MERGE_STATES_LANES = 64;

/** The in-place merge; one invocation a row. */
export function mergeStatesKernel(format: RowFormat): KernelSource {
  const type = storageType(format);
  const bindings: Binding[] = [
    { name: "other", type, access: "read" },
    { name: "other_lse", type: "array<u32>", access: "read" },
    { name: "output", type, access: "read_write" },
    { name: "lse", type: "array<u32>", access: "read_write" },
    { name: "params", type: "Params", access: "uniform" },
  ];
  const dim = "value_dim";
  const half = format.dtype === "f16";
  const load = (name: string, buffer: string) =>
    loadRow({ name, bindings: [buffer], format, dim });
  const code = wgsl`${half ? "enable f16;\n" : ""}
${declareUniforms("Params", MERGE_STATES_PARAMS)}

${declareBindings(bindings)}

${format.vector ? "" : loadTailFragment}

${onlineSoftmaxFragment}

${load("load_output", "output")}

${load("load_other", "other")}

${storeRow({ name: "store_output", bindings: ["output"], format, dim })}

fn lse_of(bits: u32) -> f32 {
return bitcast<f32>(select(bits, bitcast<u32>(SENTINEL), bits == 0xff800000u));
}

@compute @workgroup_size(${MERGE_STATES_LANES})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
let row = (group_id.y * params.grid_width + group_id.x) * ${MERGE_STATES_LANES}u + lane;
if (row >= params.rows) {
return;
}
let own_lse = lse_of(lse[row]);
let their_lse = lse_of(other_lse[row]);
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
  return {
    label: `attention.merge_states/${format.dtype}`,
    code: indent(code),
    bindings,
    uniforms: MERGE_STATES_PARAMS,
    features: half ? ["shader-f16"] : [],
  };
}

/**
 * Merges softmax states of the same rows over different parts of the keys:
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

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { declareBindings, declareUniforms, indent, wgsl } from "../wgsl.ts";
import { onlineSoftmaxFragment } from "../fragments/online_softmax.ts";
import { type RowFormat, storageType, storeRow } from "../fragments/rows.ts";
import {
  entryPoint,
  mergeScheduleFragment,
  PARAMS,
} from "../fragments/schedule.ts";
import { paramsBinding } from "./spec.ts";

/** What the merge kernel's source depends on. */
export interface MergeSpec {
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** Whether a log-sum-exp is written beside the output. */
  readonly lse: boolean;
  /** Invocations of a workgroup. */
  readonly lanes: number;
}

/** The merge kernel's bindings. */
export function mergeBindings({ outputFormat, lse }: MergeSpec): Binding[] {
  return [
    { name: "states", type: "array<vec4f>", access: "read" },
    { name: "schedule", type: "array<u32>", access: "read" },
    { name: "output", type: storageType(outputFormat), access: "read_write" },
    ...(lse
      ? [{ name: "lse", type: "array<f32>", access: "read_write" } as const]
      : []),
    paramsBinding,
  ];
}

/** The merge kernel: one workgroup an item and kv head. */
export function mergeKernel(spec: MergeSpec): KernelSource {
  const { outputFormat, lse, lanes } = spec;
  const bindings = mergeBindings(spec);
  const half = outputFormat.dtype === "f16";
  const code = wgsl`${half ? "enable f16;\n" : ""}
${declareUniforms("Params", PARAMS)}

${declareBindings(bindings)}

${mergeScheduleFragment}

${onlineSoftmaxFragment}

${
    storeRow({
      name: "store_output",
      bindings: ["output"],
      format: outputFormat,
      dim: "value_dim",
    })
  }

${
    entryPoint(
      lanes,
      `for (var index = lane; index < item.row_count * params.value_vecs; index += ${lanes}u) {
let local = index / params.value_vecs;
let vec = index - local * params.value_vecs;
let row = item.first_row + local;
let query = row / params.group;
let head = kv_head * params.group + row - query * params.group;
let out = (sequence.query_start + query) * params.query_heads + head;

var maximum = SENTINEL;
for (var part = 0u; part < item.part_count; part++) {
maximum = max(maximum, states[params.stats_at + part_row(item, part, kv_head) + local].x);
}
var sum = 0.0;
var accumulator = vec4f(0.0);
for (var part = 0u; part < item.part_count; part++) {
let at = part_row(item, part, kv_head) + local;
let stats = states[params.stats_at + at];
let scaling = select(exp(stats.x - maximum), 1.0, stats.x == maximum);
sum = fma(scaling, stats.y, sum);
accumulator = fma(vec4f(scaling), states[at * params.value_vecs + vec], accumulator);
}
store_output(out * params.value_stride, vec, finish(accumulator, sum));
${lse ? "if (vec == 0u) {\nlse[out] = log_sum_exp(maximum, sum);\n}" : ""}
}`,
    )
  }`;
  return {
    label: `attention.merge/${outputFormat.dtype}`,
    code: indent(code),
    bindings,
    uniforms: PARAMS,
    features: half ? ["shader-f16"] : [],
  };
}

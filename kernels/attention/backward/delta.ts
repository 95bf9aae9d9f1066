/**
 * What backward needs of each row: its log-sum-exp L, and
 *
 * ```text
 * D = <dO, O> - dL
 * ```
 *
 * which stands for the sum that the softmax's gradient subtracts, less the
 * gradient that flows into the log-sum-exp itself.
 *
 * Rows are those of the log-sum-exp in the order in which they lie, so every
 * layout is a list of rows; the output's lie so too, unless by strides.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { kernelOf } from "../../fragment.ts";
import { dot } from "../../fragments/dot.ts";
import { lseBits } from "../../fragments/online_softmax.ts";
import { loadRow, rowBinding, type RowFormat } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { rowStatistics } from "./spec.ts";

/** Invocations of a workgroup. */
export const DELTA_LANES = 64;

/** What the kernel's source depends on. */
export interface DeltaSpec {
  /** The format of rows of the output and of its gradient. */
  readonly outputFormat: RowFormat;
  /** Whether a gradient flows into the log-sum-exp. */
  readonly lseGradient: boolean;
  /** Whether rows of the output, and of its gradient, lie apart. */
  readonly strided: boolean;
}

/** The preprocess; one invocation a row. */
export function deltaKernel(
  { outputFormat: format, lseGradient, strided }: DeltaSpec,
): KernelSource {
  const load = (name: string) =>
    loadRow({
      name: `load_${name}`,
      bindings: [rowBinding(name, format)],
      format,
      dim: "value_dim",
    });
  return kernelOf({
    label: `attention.backward.delta/${format.dtype}`,
    fragments: [
      load("output_gradient"),
      load("output"),
      {
        bindings: [
          { name: "lse", type: "array<u32>", access: "read" },
          ...(lseGradient
            ? [
              {
                name: "lse_gradient",
                type: "array<f32>",
                access: "read",
              } as const,
            ]
            : []),
        ],
        uniforms: {
          rows: "u32",
          value_vecs: "u32",
          grid_width: "u32",
          // How many rows differ in their last index alone, and the one before.
          ...(strided
            ? {
              inner_rows: "u32",
              middle_rows: "u32",
              output_at: "u32",
              output_batch_stride: "u32",
              output_middle_stride: "u32",
              output_inner_stride: "u32",
            }
            : { output_row_stride: "u32" }),
        },
      },
      rowStatistics("read_write"),
      dot,
      lseBits,
    ],
    main: wgsl(DELTA, { lanes: DELTA_LANES, lseGradient, strided }),
  });
}

const DELTA = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group_id.z * params.grid_width + group_id.x) * $lanes + lane;
  if (row >= params.rows) {
    return;
  }
  @if strided
  let outer = row / params.inner_rows;
  let inner = row - outer * params.inner_rows;
  let batch = outer / params.middle_rows;
  let middle = outer - batch * params.middle_rows;
  let at = params.output_at + batch * params.output_batch_stride
    + middle * params.output_middle_stride + inner * params.output_inner_stride;
  @else
  let at = row * params.output_row_stride;
  @end
  var delta = 0.0;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    delta = dot4(delta, load_output_gradient(at, vec), load_output(at, vec));
  }
  @if lseGradient
  delta -= lse_gradient[row];
  @end
  row_statistics[row] = vec2f(lse_of(lse[row]), delta);
}
`;

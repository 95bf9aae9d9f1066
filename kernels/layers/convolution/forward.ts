/**
 * The short convolution, and the state that it leaves.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { rowBinding, storeRow } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import {
  CONVOLUTION_LANES,
  convolutionInputs,
  convolutionLabel,
  type ConvolutionSpec,
  convolved,
  EACH_ROW,
} from "./spec.ts";

/**
 * The outputs; one invocation four channels of a token.
 *
 * @example Taps in f32 over inputs in f16
 * ```ts
 * import { convolutionKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = convolutionKernel({
 *   format: rowFormat("f16", 64),
 *   weight: "f32",
 *   bias: false,
 *   silu: true,
 *   state: false,
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "input",
 *   "schedule",
 *   "weight",
 *   "output",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function convolutionKernel(spec: ConvolutionSpec): KernelSource {
  return kernelOf({
    label: convolutionLabel("forward", spec),
    fragments: [
      convolved(spec),
      storeRow({
        name: "store_output",
        bindings: [rowBinding("output", spec.format, "read_write")],
        format: spec.format,
        dim: "width",
      }),
      { uniforms: { row_count: "u32" } },
    ],
    main: invocationEntry(
      CONVOLUTION_LANES,
      wgsl(FORWARD, { silu: spec.silu }),
    ),
  });
}

/** The last inputs of each sequence; one invocation four channels of one. */
export function convolutionStateKernel(spec: ConvolutionSpec): KernelSource {
  return kernelOf({
    label: convolutionLabel("state", spec),
    fragments: [
      convolutionInputs(spec),
      storeRow({
        name: "store_final_state",
        bindings: [rowBinding("final_state", spec.format, "read_write")],
        format: spec.format,
        dim: "width",
      }),
      { uniforms: { row_count: "u32" } },
    ],
    main: invocationEntry(CONVOLUTION_LANES, wgsl(STATE)),
  });
}

const FORWARD = `${EACH_ROW}
let z = convolve(row, vec);
@if silu
store_output(row * params.row_stride, vec, silu(z));
@else
store_output(row * params.row_stride, vec, z);
@end
`;

const STATE = `${EACH_ROW}
let sequence = row / params.before;
let slot = row - sequence * params.before;
let position = i32(sequence_at(sequence).count + slot) - i32(params.before);
store_final_state(row * params.row_stride, vec, input_at(sequence, position, vec));
`;

/**
 * The gradients of a short convolution:
 *
 * ```text
 * dz_t = dy_t, or dy_t silu'(z_t)      dx_t = sum over taps i of w_i dz_(t + k - 1 - i)
 * dw_i = sum_t dz_t x_(t - k + 1 + i)  dbias = sum_t dz_t
 * ```
 *
 * within each sequence. What flows into a sequence's last inputs through the
 * state that it leaves is added; inputs of the state that it began with get
 * theirs like its own.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { accumulatedRows } from "../../fragments/accumulate.ts";
import { invocationEntry } from "../../entry.ts";
import { type Fragment, kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import type { ColumnStore, ColumnTerms } from "../column_sums.ts";
import {
  channelRows,
  CONVOLUTION_LANES,
  convolutionInputs,
  convolutionLabel,
  type ConvolutionSpec,
  convolved,
  EACH_ROW,
  sequences,
  taps,
} from "./spec.ts";

/** dz where it is not dy: f32, `[tokens, width_vecs]` vec4s. */
function preGradients(access: "read" | "read_write"): Fragment {
  return {
    bindings: [{ name: "pre_gradient", type: "array<vec4f>", access }],
    uniforms: { width_vecs: "u32" },
  };
}

/** `pre_gradient_of(token, vec)`: dz. */
function preGradient({ format, silu }: ConvolutionSpec): Fragment {
  return {
    needs: [
      silu ? preGradients("read") : channelRows("output_gradient", format),
    ],
    uniforms: { row_stride: "u32" },
    code: wgsl(
      `
      fn pre_gradient_of(token: u32, vec: u32) -> vec4f {
        @if silu
        return pre_gradient[token * params.width_vecs + vec];
        @else
        return load_output_gradient(token * params.row_stride, vec);
        @end
      }
      `,
      { silu },
    ),
  };
}

/** dz of a convolution with silu; one invocation four channels of a token. */
export function preGradientKernel(spec: ConvolutionSpec): KernelSource {
  return kernelOf({
    label: convolutionLabel("pre_gradient", spec),
    fragments: [
      convolved(spec),
      channelRows("output_gradient", spec.format),
      preGradients("read_write"),
      { uniforms: { row_count: "u32" } },
    ],
    main: invocationEntry(CONVOLUTION_LANES, wgsl(PRE_GRADIENT)),
  });
}

/** Whose gradients a kernel writes. */
export interface ConvolutionInputGradients {
  /** The inputs, or those of the state before them. */
  readonly of: "input" | "initial_state";
  /** Whether a gradient flows into the state that sequences leave. */
  readonly finalState: boolean;
}

/** The gradients by inputs; one invocation four channels of one. */
export function convolutionInputGradientKernel(
  spec: ConvolutionSpec,
  { of, finalState }: ConvolutionInputGradients,
): KernelSource {
  return kernelOf({
    label: convolutionLabel(`${of}_gradient`, spec) +
      (finalState ? ".final" : ""),
    fragments: [
      sequences,
      taps(spec),
      preGradient(spec),
      ...(finalState ? [channelRows("final_state_gradient", spec.format)] : []),
      accumulatedRows({
        name: `${of}_gradient`,
        format: spec.format,
        dim: "width",
      }),
      {
        uniforms: { row_count: "u32" },
        code: wgsl(INPUT_GRADIENT, { finalState }),
      },
    ],
    main: invocationEntry(
      CONVOLUTION_LANES,
      wgsl(INPUT_GRADIENTS, { of, input: of === "input" }),
    ),
  });
}

/**
 * What a token adds to the gradients of taps and bias; column `tap * width_vecs
 * + vec`, the bias behind the last tap.
 */
export function convolutionTerms(spec: ConvolutionSpec): ColumnTerms {
  return {
    name: convolutionLabel("", spec).replace("layers.convolution./", "taps."),
    fragments: [
      convolutionInputs(spec),
      preGradient(spec),
      {
        code: wgsl(`
          fn term(row: u32, column: u32) -> vec4f {
            let tap = column / params.width_vecs;
            let vec = column - tap * params.width_vecs;
            let gradient = pre_gradient_of(row, vec);
            if (tap > params.before) {
              return gradient;
            }
            let index = sequence_of(row);
            let position = i32(row - sequence_at(index).start + tap) - i32(params.before);
            return gradient * input_at(index, position, vec);
          }
        `),
      },
    ],
  };
}

/** Where the sums of {@linkcode convolutionTerms} go, in f32. */
export function convolutionStore(
  { bias }: { readonly bias: boolean },
): ColumnStore {
  const names = ["weight_gradient", ...(bias ? ["bias_gradient"] : [])];
  return {
    name: bias ? "taps.bias" : "taps",
    fragments: [{
      bindings: names.map((name) => ({
        name,
        type: "array<f32>",
        access: "read_write",
      })),
      uniforms: {
        width: "u32",
        width_vecs: "u32",
        before: "u32",
        ...Object.fromEntries(
          names.map((name) => [`accumulate_${name}`, "u32" as const]),
        ),
      },
      code: wgsl(STORE, { bias }),
    }],
  };
}

const PRE_GRADIENT = `${EACH_ROW}
let z = convolve(row, vec);
pre_gradient[index] = load_output_gradient(row * params.row_stride, vec) * silu_slope(z);
`;

const INPUT_GRADIENT = `
fn gradient_at(index: u32, position: i32, vec: u32) -> vec4f {
  let own = sequence_at(index);
  var sum = vec4f(0.0);
  for (var tap = 0u; tap <= params.before; tap++) {
    let after = position + i32(params.before - tap);
    if (after >= 0 && after < i32(own.count)) {
      sum = fma(tap_of(tap, vec), pre_gradient_of(own.start + u32(after), vec), sum);
    }
  }
  @if finalState
  let slot = position - i32(own.count) + i32(params.before);
  if (slot >= 0) {
    sum += load_final_state_gradient((index * params.before + u32(slot)) * params.row_stride, vec);
  }
  @end
  return sum;
}
`;

const INPUT_GRADIENTS = `${EACH_ROW}
@if input
let sequence = sequence_of(row);
let position = i32(row - sequence_at(sequence).start);
@else
let sequence = row / params.before;
let position = i32(row - sequence * params.before) - i32(params.before);
@end
add_$of_gradient(row * params.row_stride, vec, gradient_at(sequence, position, vec));
`;

const STORE = `
fn store_sum(column: u32, sum: vec4f) {
  let tap = column / params.width_vecs;
  let vec = column - tap * params.width_vecs;
  for (var c = 0u; c < min(4u, params.width - 4u * vec); c++) {
    let channel = 4u * vec + c;
    if (tap <= params.before) {
      let at = channel * (params.before + 1u) + tap;
      var gradient = sum[c];
      if (params.accumulate_weight_gradient != 0u) {
        gradient += weight_gradient[at];
      }
      weight_gradient[at] = gradient;
    }
    @if bias
    if (tap > params.before) {
      var gradient = sum[c];
      if (params.accumulate_bias_gradient != 0u) {
        gradient += bias_gradient[channel];
      }
      bias_gradient[channel] = gradient;
    }
    @end
  }
}
`;
